from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from serving.config import KeyConfig, ServeConfig
from serving.http.api import create_app
from serving.http.api_keys import add_key
from serving.http.origins import refusal

LOCAL = "127.0.0.1:8000"
HOSTS = ("music.example", "studio.example:8443")

TAKEN: list[dict[str, str]] = [
    {},
    {"host": "127.0.0.1"},
    {"host": "127.9.8.7:1"},
    {"host": "localhost:8000"},
    {"host": "LocalHost"},
    {"host": "[::1]:8000"},
    {"host": "[0:0:0:0:0:0:0:1]"},
    {"host": "music.example"},
    {"host": "Music.Example:81"},
    {"host": "studio.example:8443"},
    {"host": LOCAL, "origin": f"http://{LOCAL}"},
    {"host": LOCAL, "origin": f"http://{LOCAL}", "sec-fetch-site": "same-origin"},
    {"host": LOCAL, "sec-fetch-site": "none"},
    {"host": "[::1]:8000", "origin": "http://[::1]:8000"},
    {"host": "music.example", "origin": "https://music.example"},
    {"host": LOCAL, "origin": "https://music.example", "sec-fetch-site": "same-origin"},
    {"host": LOCAL, "origin": "https://studio.example:8443"},
    {"host": LOCAL, "x-forwarded-host": "music.example, 127.0.0.1", "origin": "https://music.example"},
]
REFUSED: list[tuple[dict[str, str], str]] = [
    ({"host": "evil.example"}, "host"),
    ({"host": "127.0.0.1.evil.example:8000"}, "host"),
    ({"host": "localhost.evil.example"}, "host"),
    ({"host": "evil.example:8000", "origin": "http://evil.example:8000", "sec-fetch-site": "same-origin"}, "host"),
    ({"host": "192.0.2.1:8000"}, "host"),
    ({"host": "0.0.0.0:8000"}, "host"),
    ({"host": "studio.example"}, "host"),
    ({"host": "studio.example:8444"}, "host"),
    ({"host": ""}, "host"),
    ({"host": "::1"}, "host"),
    ({"host": "[127.0.0.1]"}, "host"),
    ({"host": "localhost@evil.example"}, "host"),
    ({"host": LOCAL, "x-forwarded-host": "evil.example"}, "host"),
    ({"host": LOCAL, "x-forwarded-host": "127.0.0.1, evil.example"}, "host"),
    ({"host": LOCAL, "origin": "null"}, "origin"),
    ({"host": LOCAL, "origin": ""}, "origin"),
    ({"host": LOCAL, "origin": "https://evil.example"}, "origin"),
    ({"host": LOCAL, "origin": "http://127.0.0.1:3000"}, "origin"),
    ({"host": LOCAL, "origin": "http://localhost:8000"}, "origin"),
    ({"host": LOCAL, "origin": f"http://{LOCAL}@evil.example"}, "origin"),
    ({"host": LOCAL, "origin": f"http://{LOCAL}.evil.example"}, "origin"),
    ({"host": LOCAL, "origin": "chrome-extension://music.example"}, "origin"),
    ({"host": LOCAL, "origin": "file://"}, "origin"),
    ({"host": LOCAL, "sec-fetch-site": "cross-site"}, "sec-fetch-site"),
    ({"host": LOCAL, "sec-fetch-site": "same-site"}, "sec-fetch-site"),
    ({"host": LOCAL, "sec-fetch-site": "Cross-Site"}, "sec-fetch-site"),
]


def field(headers: dict[str, str], path: str = "/v1/songs") -> str | None:
    found = refusal([(name.encode(), value.encode("latin-1")) for name, value in headers.items()], path, HOSTS)
    return None if found is None else found.field


@pytest.mark.parametrize("headers", TAKEN)
def test_programs_and_the_own_page_are_let_in(headers: dict[str, str]) -> None:
    assert field(headers) is None


@pytest.mark.parametrize(("headers", "at_fault"), REFUSED)
def test_pages_of_others_are_refused(headers: dict[str, str], at_fault: str) -> None:
    assert field(headers) == at_fault


def test_a_second_host_or_origin_hides_nothing() -> None:
    for name, bad in ((b"host", b"evil.example"), (b"origin", b"https://evil.example")):
        good = {b"host": LOCAL.encode(), b"origin": f"http://{LOCAL}".encode()}
        headers = [*good.items(), (name, bad)]
        assert refusal(headers, "/", HOSTS) is not None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_may_ask_for_health_by_an_address(path: str) -> None:
    assert field({"host": "10.1.2.3:8000"}, path) is None
    assert field({"host": "[fd00::7]:8000"}, path) is None
    assert field({"host": "evil.example"}, path) == "host"
    assert field({"host": "10.1.2.3:8000", "origin": "https://evil.example"}, path) == "origin"


PATHS = ["/", "/app.js", "/docs", "/openapi.json", "/v1/model", "/v1/jobs/none/events", "/livez", "/nowhere"]


@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:8000"},
    ],
)
def test_every_path_and_method_refuses_what_a_foreign_page_sends(local: TestClient, foreign: dict[str, str]) -> None:
    for path in PATHS:
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            answer = local.request(method, path, headers=foreign)
            assert answer.status_code == 403, (method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert not any(name.startswith("access-control-") for name in answer.headers)
    assert local.get("/", headers=foreign).json()["type"] == "urn:stems:problem:foreign"


def test_a_form_of_a_foreign_page_queues_nothing(local: TestClient, tone_wav: bytes) -> None:
    """A form needs no preflight: the browser sends it, and only its answer is kept from the page."""
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = local.post("/v1/edits", files={"song": tone_wav}, data={"regenerate": "bass"}, headers=foreign)
    assert answer.status_code == 403
    assert "stems_jobs_queued 0.0" in local.get("/metrics").text.splitlines()


def test_keys_take_the_place_of_the_rule(band: Any, settings: ServeConfig, capsys: Any) -> None:
    add_key(KeyConfig(state=settings.state, name="mixer"))
    key = {"Authorization": f"Bearer {capsys.readouterr().out.strip()}"}
    elsewhere = {"Origin": "https://app.example", "Host": "stems.example", "Sec-Fetch-Site": "cross-site"}
    with TestClient(create_app(settings, band)) as client:
        assert client.get("/v1/model", headers=elsewhere | key).status_code == 200
        assert client.get("/v1/model", headers=elsewhere).status_code == 401
        preflight = client.options("/v1/songs", headers=elsewhere | {"Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 405
        assert not any(name.startswith("access-control-") for name in preflight.headers)


def test_a_websocket_is_refused(local: TestClient) -> None:
    for path in ("/", "/v1/songs"):
        with pytest.raises(WebSocketDisconnect), local.websocket_connect(path):
            pass


@pytest.mark.parametrize("host", ["https://music.example", "*", "a b", "music.example/", ""])
def test_a_host_that_is_none_is_no_setting(host: str) -> None:
    with pytest.raises(ValidationError, match="NAME or NAME:PORT"):
        ServeConfig(model="m", hosts=(host,))
