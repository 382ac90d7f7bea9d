"""Webhooks go to hosts on the list only, signed, until they are heard."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient
from helpers.hooks import SECRET, Hook, listening, until_settled
from helpers.hostile import ASYNC, assert_refused

from serving.config import ServeConfig
from serving.http.api import create_app

KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


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


def told(settings: ServeConfig, band: Any, hook: Hook, times: int) -> dict[str, Any]:
    """The job that a webhook is called for, once it was called so often and no further call is due."""
    listed = settings.model_copy(update={"webhook_hosts": (hook.host,), "webhook_secret": SECRET})
    with TestClient(create_app(listed, band)) as client:
        job = client.post("/v1/songs", json={"seconds": 0.5, "webhook": hook.address}).json()
        until_settled(hook, settings.state, times)
        ended: dict[str, Any] = client.get(job["links"]["self"]).json()
    assert ended["state"] == "done"
    return ended


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.jobs.webhooks._LOOK_S", 0.05)
    monkeypatch.setattr("serving.jobs.webhooks._PAUSES_S", (0, 0, 0))


@pytest.mark.usefixtures("brisk")
def test_a_webhook_is_told_until_it_has_heard_and_then_no_more(settings: ServeConfig, band: Any) -> None:
    with listening(500, 503) as hook:
        job = told(settings, band, hook, times=3)
    assert len(hook.calls) == 3
    for path, headers, body in hook.calls:
        assert path == "/told?of=it"
        assert json.loads(body) == job
        assert headers["webhook-id"] == job["id"]
        signed = f"{job['id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 30


@pytest.mark.usefixtures("brisk")
def test_a_webhook_that_points_elsewhere_is_not_followed(settings: ServeConfig, band: Any) -> None:
    with listening(307, 302, 301, 308) as hook:
        told(settings, band, hook, times=4)
    assert [path for path, _, _ in hook.calls] == ["/told?of=it"] * 4  # and given up
