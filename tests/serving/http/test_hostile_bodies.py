"""Bodies, forms and JSON made to break parsers, or to outlast or outgrow the service."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.hostile import ASYNC, FORM, JSON, answer_of, assert_refused, head, part, resident_mb, song

from serving.config import ServeConfig


def test_a_body_that_trickles_is_cut_while_others_are_served(wire: tuple[str, int]) -> None:
    slow = [socket.create_connection(wire) for _ in range(20)]
    others = [socket.create_connection(wire) for _ in range(3)]
    began = time.monotonic()
    for connection in slow:
        connection.sendall(head("/v1/songs", "Content-Type: application/json", "Content-Length: 900"))
    for other in others:
        for connection in slow:
            connection.sendall(b" ")
        with other:
            body = b'{"seconds": 99}'
            other.sendall(head("/v1/songs", "Content-Type: application/json", "Content-Length: 15") + body)
            assert answer_of(other) == (422, "seconds")
    assert time.monotonic() - began < 1.5  # none of them was given up until now
    for connection in slow:
        assert answer_of(connection) == (408, "body")
        assert connection.recv(1) == b""  # hung up
        connection.close()


def test_a_body_without_end_is_refused_at_the_limit_and_kept_nowhere(wire: tuple[str, int]) -> None:
    before, chunk = resident_mb(), b"10000\r\n" + b" " * 65536 + b"\r\n"
    with socket.create_connection(wire) as connection:
        connection.sendall(head("/v1/songs", "Content-Type: application/json", "Transfer-Encoding: chunked"))
        connection.sendall(chunk * 16)
        assert answer_of(connection) == (413, "body")
        connection.sendall(chunk * 1000)
    assert resident_mb() - before < 30


@pytest.mark.parametrize(
    ("length", "answer"),
    [
        ("9" * 40, (400, "")),
        ("-1", (400, "")),
        ("1000001", (413, "body")),
        ("9" * 15, (413, "body")),
        ("5", (400, "")),
        ("40", (408, "body")),
    ],
)
def test_a_length_that_lies_is_of_no_use(wire: tuple[str, int], length: str, answer: tuple[int, str]) -> None:
    with socket.create_connection(wire) as connection:
        connection.sendall(head("/v1/songs", "Content-Type: application/json", f"Content-Length: {length}"))
        connection.sendall(b'{"seconds": 99}')
        assert answer_of(connection) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"".join(part("prompt", b"x") for _ in range(1000)),
        b"".join(part(f"field{number}", b"x") for number in range(1000)),
        b"".join(part(f"stem{number}", b"x", "a.wav") for number in range(1000)),
        part("prompt", b"x" * 100_000),
        b'--x\r\nContent-Disposition: form-data; name="prompt"\r\nX-Long: ' + b"a" * 500_000 + b"\r\n\r\nx\r\n",
        b"--x\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(20_000)) + b"\r\nx\r\n",
        b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n",
        b"--x\r\n\r\nx\r\n",
        b"--x" * 100_000,
    ],
    ids=["doubled", "fields", "files", "long", "header", "headers", "nameless", "bare", "boundaries"],
)
def test_a_form_made_to_break_parsers_is_refused_at_once(local: TestClient, body: bytes) -> None:
    began = time.monotonic()
    answer = local.post("/v1/edits", content=body + b"--x--\r\n", headers=FORM)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "b" * 5000, "; boundary=\xff"])
def test_a_form_without_a_sound_boundary_is_refused(local: TestClient, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{boundary}".encode("latin-1")}
    answer = local.post("/v1/edits", content=part("prompt", b"x") + b"--x--\r\n", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_form_in_a_form_is_no_song(local: TestClient) -> None:
    inner = part("song", song()).replace(b"--x", b"--y") + b"--y--\r\n"
    nested = b'--x\r\nContent-Disposition: form-data; name="song"; filename="a"\r\n'
    nested += b"Content-Type: multipart/mixed; boundary=y\r\n\r\n" + inner + b"\r\n"
    answer = local.post("/v1/edits", content=nested + part("regenerate", b"bass") + b"--x--\r\n", headers=FORM)
    assert_refused(answer, 415, "song")


@pytest.mark.parametrize("name", ["../../evil.wav", "/etc/passwd", "..\\..\\evil.wav", "a\0b.wav", "%2e%2e%2fevil"])
def test_a_file_name_leads_nowhere(local: TestClient, settings: ServeConfig, tmp_path: Any, name: str) -> None:
    body = part("bass", song(), name) + part("silent", b"other") + b"--x--\r\n"
    answer = local.post("/v1/edits", content=body, headers=FORM | ASYNC)
    assert answer.status_code == 202, answer.text
    assert local.get(f"/v1/jobs/{answer.json()['id']}").json()["state"] == "done"
    kept = {path.name for path in (tmp_path / "results").rglob("*") if path.is_file()}
    files = [f"{name}.flac" for name in ("bass", "drums", "other", "mix")]
    given = {"bass"}  # what was sent, under the name of its field; it goes when the job has ended
    assert kept - given == {*files, "codes.npy", "manifest.json"}
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"results", "state"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, ""),
        (b'{"prompt": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", ""),
        (b'{"seconds": 1' + b"0" * 4000 + b"}", ""),
        (b'{"seed": -1' + b"0" * 4000 + b"}", ""),
        (b'{"seconds": 1e400}', "seconds"),
        (b'{"seconds": -Infinity}', "seconds"),
        (b'{"top_k": NaN}', "top_k"),
        (b'{"top_p": true}', "top_p"),
        (b'{"seed": false}', "seed"),
        (b'{"__proto__": {"seconds": 1}}', "__proto__"),
        (b"\xef\xbb\xbf{}\xff", ""),
    ],
)
def test_json_made_to_break_parsers_is_refused(local: TestClient, body: bytes, field: str) -> None:
    began = time.monotonic()
    answer = local.post("/v1/songs", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert not field or answer.json()["field"] == field
    assert time.monotonic() - began < 2
