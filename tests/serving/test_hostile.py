"""Clients that mean harm get a clear refusal, and others are served meanwhile."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
import uvicorn
from fastapi.testclient import TestClient

from models.audio import Audio, encode_audio
from serving.api import create_app
from serving.config import KeyConfig, ServeConfig
from serving.keys import add_key

ASYNC = {"Prefer": ""}
JSON = {"Content-Type": "application/json"}
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def assert_refused(answer: Any, status: int, field: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["field"]) == (status, field), problem
    return problem


def part(name: str, data: bytes, filename: str = "") -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + data + b"\r\n"


def song(seconds: float = 1.0) -> bytes:
    return encode_audio(Audio(np.full((1, round(8000 * seconds)), 0.1, np.float32), 8000), "flac")


def resident_mb() -> float:
    return float(psutil.Process().memory_info().rss / 1e6)


# Bodies as they come over a wire


@pytest.fixture
def wire(settings: ServeConfig, band: Any) -> Iterator[tuple[str, int]]:
    """A service of little patience on a socket."""
    hasty = settings.model_copy(update={"body_seconds": 1.5})
    server = uvicorn.Server(uvicorn.Config(create_app(hasty, band), port=0, log_level="error", log_config=None))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()
        server.should_exit = server.force_exit = True
        thread.join()


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: here", *lines, "", "")).encode()


def answer_of(connection: socket.socket) -> tuple[int, str]:
    """Status and field of an answer; what the HTTP server itself refuses names no field."""
    with HTTPResponse(connection) as answer:
        connection.settimeout(10)
        answer.begin()
        body = answer.read()
        problem = answer.headers["content-type"] == "application/problem+json"
        return answer.status, json.loads(body)["field"] if problem else ""


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


# Forms


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
    assert kept == {*files, "codes.npy", "manifest.json"}
    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"results", "state"}


# Sound that is not what it seems


def silence(container: str, subtype: str, hours: float) -> bytes:
    buffer, minute = io.BytesIO(), np.zeros(8000 * 60, np.float32)
    with soundfile.SoundFile(buffer, "w", 8000, 1, format=container, subtype=subtype) as file:
        for _ in range(round(hours * 60)):
            file.write(minute)
    return buffer.getvalue()


def claims(data: bytes, at: int, size: int) -> bytes:
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize(
    ("container", "subtype", "hours"),
    [("FLAC", "PCM_16", 3), ("OGG", "VORBIS", 0.1), ("OGG", "OPUS", 0.05), ("MP3", "MPEG_LAYER_III", 0.1)],
)
def test_a_long_silence_in_a_few_bytes_is_refused_before_it_fills_the_memory(
    local: TestClient, container: str, subtype: str, hours: float
) -> None:
    bomb = silence(container, subtype, hours)
    assert len(bomb) < 950_000
    before, began = resident_mb(), time.monotonic()
    for _ in range(3):
        assert_refused(local.post("/v1/edits", files={"song": bomb}, data={"regenerate": "bass"}), 422, "song")
    assert time.monotonic() - began < 5
    assert resident_mb() - before < 30


@pytest.mark.parametrize(("at", "size"), [(40, 0xFFFFFFFF), (40, 0x7FFFFFFE), (4, 0xFFFFFFFF), (24, 0xFFFFFFFF)])
def test_a_wav_that_claims_too_much_is_refused_or_taken_for_what_it_is(local: TestClient, at: int, size: int) -> None:
    wav = encode_audio(Audio(np.full((1, 100), 0.1, np.float32), 8000))
    before = resident_mb()
    answer = local.post("/v1/edits", files={"song": claims(wav, at, size)}, data={"regenerate": "bass"})
    assert_refused(answer, answer.status_code, "song")
    assert answer.status_code in (415, 422)
    assert resident_mb() - before < 30


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_refused_unread(local: TestClient, coding: str) -> None:
    answer = local.post("/v1/songs", content=b"\x1f\x8b" * 10, headers=JSON | {"Content-Encoding": coding})
    assert_refused(answer, 415, "content-encoding")


def test_refused_uploads_leave_no_memory_behind(local: TestClient) -> None:
    noise = np.random.default_rng(0).bytes(950_000)

    def refused() -> None:
        assert_refused(local.post("/v1/edits", files={"song": noise}, data={"regenerate": "bass"}), 415, "song")
        body = part("song", noise, "a.wav") * 2 + b"--x--\r\n"
        assert_refused(local.post("/v1/edits", content=body, headers=FORM), 413, "body")

    for _ in range(3):
        refused()
    before = resident_mb()
    for _ in range(20):
        refused()
    assert resident_mb() - before < 30


# Paths

PATHS = [
    "..%2f..%2fstate.db",
    "%2e%2e%2fx",
    "..%5c..%5cx",
    "%00",
    "x%00y",
    "%2fetc%2fpasswd",
    "-",
    "a" * 5000,
    "%ff%fe",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_leads_to_nothing_but_jobs(local: TestClient, path: str) -> None:
    headers = {"Accept": "application/json"}
    job = local.post("/v1/songs", json={"seconds": 0.5}, headers=headers).json()["id"]
    for place in (f"/v1/jobs/{path}", f"/v1/jobs/{path}/events", f"/v1/results/{path}/mix.wav"):
        answer = local.get(place)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), place
    answer = local.get(f"/v1/results/{job}/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert local.delete(f"/v1/jobs/{path}").status_code in (404, 405)
    assert local.get(f"/v1/jobs/{job}").status_code == 200


@pytest.mark.parametrize("of", ["../uploads", "/etc/passwd", "..\\x", "a\0b", "x" * 10_000, "%2e%2e"])
def test_a_job_to_edit_is_looked_up_not_opened(local: TestClient, of: str) -> None:
    parts = {"of": (None, of), "regenerate": (None, "bass")}
    assert_refused(local.post("/v1/edits", files=parts), 422, "of")


# Webhooks


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/",
        "http://[::1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://allowed.example@127.0.0.1/",
        "http://allowed.example:pw@127.0.0.1/",
        "http://127.0.0.1#@allowed.example/",
        "http://127.0.0.1\\@allowed.example/",
        "http://allowed.example:81/",
        "http://allowed.example.evil.example/",
        "file:///etc/passwd",
        "gopher://allowed.example/",
        "//allowed.example/",
        "http://",
        "http://[",
        "http://allowed.example:99999999/",
        "allowed.example",
        " ",
    ],
)
def test_a_webhook_goes_only_to_hosts_on_the_list(settings: ServeConfig, band: Any, address: str) -> None:
    listed = settings.model_copy(update={"webhook_hosts": ("allowed.example",), "webhook_secret": SECRET})
    client = TestClient(create_app(listed, band), raise_server_exceptions=False)
    answer = client.post("/v1/songs", json={"seconds": 0.5, "webhook": address}, headers=ASYNC)
    assert_refused(answer, 422, "webhook")


class Listener:
    """Someone who is told of jobs, and answers as is prescribed."""

    def __init__(self, *statuses: int) -> None:
        self.told: list[tuple[str, dict[str, str], bytes]] = []
        listener, left = self, list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                listener.told.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(left.pop(0) if left else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"


@contextmanager
def listening(*statuses: int) -> Iterator[Listener]:
    listener = Listener(*statuses)
    thread = threading.Thread(target=listener.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listener
    finally:
        listener.server.shutdown()
        thread.join()
        listener.server.server_close()


def told(settings: ServeConfig, band: Any, listener: Listener, times: int) -> dict[str, Any]:
    """The job whose end a listener is told of, once it was told so often and no more."""
    listed = settings.model_copy(update={"webhook_hosts": (listener.host,), "webhook_secret": SECRET})
    with TestClient(create_app(listed, band)) as client:
        address = f"http://{listener.host}/end?of=it"
        job = client.post("/v1/songs", json={"seconds": 0.5, "webhook": address}).json()
        end = time.monotonic() + 20
        while len(listener.told) < times and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.3)
        ended: dict[str, Any] = client.get(job["links"]["self"]).json()
    assert ended["state"] == "done"
    return ended


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.webhooks._LOOK_S", 0.05)
    monkeypatch.setattr("serving.webhooks._PAUSES_S", (0, 0, 0))


@pytest.mark.usefixtures("brisk")
def test_a_webhook_is_told_until_it_has_heard_and_then_no_more(settings: ServeConfig, band: Any) -> None:
    with listening(500, 503) as listener:
        job = told(settings, band, listener, times=3)
    assert len(listener.told) == 3
    for path, headers, body in listener.told:
        assert path == "/end?of=it"
        assert json.loads(body) == job
        assert headers["webhook-id"] == job["id"]
        signed = f"{job['id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30


@pytest.mark.usefixtures("brisk")
def test_a_webhook_that_points_elsewhere_is_not_followed(settings: ServeConfig, band: Any) -> None:
    with listening(307, 302, 301, 308) as listener:
        told(settings, band, listener, times=4)
    assert [path for path, _, _ in listener.told] == ["/end?of=it"] * 4  # and given up


# Headers


@pytest.mark.parametrize(
    "header", ["X-Request-Timeout-Seconds", "x-request-timeout-seconds", "X-REQUEST-DISCONNECT-DISABLED"]
)
def test_a_header_that_would_change_the_service_is_refused(local: TestClient, header: str) -> None:
    answer = local.post("/v1/songs", json={"seconds": 0.5}, headers={header: "1000000"})
    assert_refused(answer, 400, header.lower())


@pytest.mark.parametrize("key", ["", "k" * 10_000, "a\tb", b"\xff\xfe\x80"])
def test_a_name_of_a_request_is_short_and_printable(local: TestClient, key: str | bytes) -> None:
    headers: Any = {"Idempotency-Key": key} | ASYNC
    answer = local.post("/v1/songs", json={"seconds": 0.5}, headers=headers)
    assert_refused(answer, 422, "idempotency-key")


@pytest.mark.parametrize("last", ["-1", "9" * 500, "x", "1.5", "٣", "0x10", "\xb2"])
def test_an_event_that_never_was_is_none_missed(local: TestClient, last: str) -> None:
    job = local.post("/v1/songs", json={"seconds": 0.5}, headers={"Accept": "application/json"}).json()
    headers: Any = {"Last-Event-ID": last.encode("utf-8")}
    text = local.get(job["links"]["events"], headers=headers).text
    assert [line for line in text.splitlines() if line.startswith("event:")] == ["event: job", "event: end"]


@pytest.mark.parametrize("wait", ["999999999", "99999999999999999999", "-5", "1e9", "\xb2", "nan"])
def test_a_wait_without_end_is_capped_or_none(local: TestClient, wait: str) -> None:
    headers: Any = {"Prefer": f"wait={wait}".encode("latin-1")}
    answer = local.post("/v1/songs", json={"seconds": 0.5}, headers=headers)
    applied = answer.headers.get("preference-applied")
    assert (answer.status_code, applied) in ((200, "wait=120"), (202, None))
    assert (applied is None) == (wait != "999999999")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Accept", b"\xff\xfe"),
        ("Accept", b"," * 100_000),
        ("Accept", b"audio/wav;q=nan"),
        ("Authorization", b"Bearer \xff\xff"),
        ("traceparent", b"00-" + b"f" * 5000),
        ("X-Request-Id", b"\xe9" * 200),
        ("Content-Type", b"application/json; charset=\xff"),
        ("Prefer", b"wait=1, wait=2; wait=3"),
    ],
)
def test_a_strange_header_does_no_harm(wire: tuple[str, int], name: str, value: bytes) -> None:
    lines = {"Content-Type": b"application/json", "Content-Length": b"15", name: value}
    sent = b"".join(key.encode() + b": " + line + b"\r\n" for key, line in lines.items())
    with socket.create_connection(wire) as connection:
        connection.sendall(b"POST /v1/songs HTTP/1.1\r\nHost: here\r\n" + sent + b'\r\n{"seconds": 99}')
        status, field = answer_of(connection)
    assert (status, field) in ((422, "seconds"), (406, "accept"))


def test_a_header_sent_a_thousand_times_does_no_harm(local: TestClient) -> None:
    headers: Any = [("Prefer", "x"), ("Accept", "image/png")] * 500 + [("Content-Type", "application/json")]
    answer = local.post("/v1/songs", content=b'{"seconds": 0.5}', headers=headers)
    assert_refused(answer, 406, "accept")


# JSON


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


# Secrets


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer",
        "Bearer ",
        "Basic c3RlbXM6eA==",
        "Bearer stems_guessed-key",
        "bearer stems_guessed-key x",
        "stems_guessed-key",
    ],
)
def test_a_wrong_key_opens_nothing_and_is_told_to_nobody(
    settings: ServeConfig, band: Any, caplog: pytest.LogCaptureFixture, capsys: Any, authorization: str
) -> None:
    add_key(KeyConfig(state=settings.state, name="one"))
    capsys.readouterr()
    with caplog.at_level(logging.DEBUG), TestClient(create_app(settings, band)) as client:
        for method, path in (("POST", "/v1/songs"), ("GET", "/v1/model"), ("DELETE", "/v1/jobs/x")):
            answer = client.request(method, path, headers={"Authorization": authorization})
            assert_refused(answer, 401, "authorization")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "guessed" not in answer.text + str(answer.headers)
    assert "guessed" not in caplog.text


def test_logs_hold_nothing_of_what_was_asked(
    settings: ServeConfig, band: Any, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    add_key(KeyConfig(state=settings.state, name="one"))
    key = capsys.readouterr().out.strip()
    with caplog.at_level(logging.DEBUG), TestClient(create_app(settings, band)) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        fields = {"seconds": 0.5, "prompt": "a tune of mine"}
        job = client.post(
            "/v1/songs", json=fields, headers={"Prefer": "wait=60", "Accept": "application/json"}
        ).json()
        assert job["manifest"]["prompt"] == "a tune of mine"
        assert client.post("/v1/songs", json=fields | {"seconds": 99}).status_code == 422
        assert client.post("/v1/edits", files={"song": ("mine.wav", b"x")}, data={"prompt": "a tune of mine"})
    lines = [json.loads(record.message) for record in caplog.records if record.name == "stems.requests"]
    assert [line["status"] for line in lines] == [200, 422, 415]
    assert {line["owner"] for line in lines} == {"one"}
    logged = caplog.text + capsys.readouterr().err
    for secret in ("tune of mine", "mine.wav", key):
        assert secret not in logged
