"""Webhooks are signed as the standard says, and go to allowed hosts alone."""

from __future__ import annotations

import base64

import pytest

from models.errors import StemsError
from serving.jobs.webhooks import check_webhook, signature, signing_key


def test_a_signature_is_that_of_the_standard() -> None:
    """The example that the specification's libraries are tested with."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["", "secret", "whsec_%%%", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_weak_secret_is_refused(secret: str) -> None:
    with pytest.raises(StemsError):
        signing_key(secret)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest",
        "https://hooks.example.com.evil.org/",
        "https://hooks.example.com@evil.org/",
        "https://user:word@hooks.example.com/",
        "https://hooks.example.com:8443/",
        "file:///etc/passwd",
        "ftp://hooks.example.com/",
        "https://[::1",
        "hooks.example.com",
        "",
    ],
)
def test_webhooks_go_to_allowed_hosts_only(address: str) -> None:
    with pytest.raises(StemsError) as caught:
        check_webhook(address, ("hooks.example.com",))
    assert caught.value.field == "webhook"


def test_webhooks_to_allowed_hosts_go() -> None:
    check_webhook("https://hooks.example.com/x?y=1", ("hooks.example.com",))
    check_webhook("http://127.0.0.1:9000/", ("127.0.0.1:9000",))
