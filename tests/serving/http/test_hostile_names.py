"""Paths, headers and keys that mean harm get a clear refusal, and nothing is told to anyone."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.hostile import ASYNC, answer_of, assert_refused

from serving.config import KeyConfig, ServeConfig
from serving.http.api import create_app
from serving.http.api_keys import add_key

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
        connection.sendall(b"POST /v1/songs HTTP/1.1\r\nHost: localhost\r\n" + sent + b'\r\n{"seconds": 99}')
        status, field = answer_of(connection)
    assert (status, field) in ((422, "seconds"), (406, "accept"))


def test_a_header_sent_a_thousand_times_does_no_harm(local: TestClient) -> None:
    headers: Any = [("Prefer", "x"), ("Accept", "image/png")] * 500 + [("Content-Type", "application/json")]
    answer = local.post("/v1/songs", content=b'{"seconds": 0.5}', headers=headers)
    assert_refused(answer, 406, "accept")


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
