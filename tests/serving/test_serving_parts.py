"""Small parts of the service: rate limits, what headers ask for, signatures, files, results in every format."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest
from helpers.s3 import Bucket
from hypothesis import given
from hypothesis import strategies as st

from models.errors import StemsError
from serving.errors import BusyError
from serving.http.negotiation import PreferredResponse, preferred_response, wait_seconds
from serving.http.rate_limit import RateLimit
from serving.jobs.blob_store import JobFiles
from serving.jobs.event_log import EventLog
from serving.jobs.webhooks import check_webhook, signature, signing_key


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", PreferredResponse("zip")),
        ("*/*", PreferredResponse("zip")),
        ("application/json", PreferredResponse("json")),
        ("application/json;q=0.2, application/zip", PreferredResponse("zip")),
        ("audio/mpeg, application/json;q=0.9", PreferredResponse("mix", "mp3")),
        ("text/html, audio/*", PreferredResponse("mix")),
        ("application/zip;q=0, audio/flac;q=x", PreferredResponse("mix", "flac")),
    ],
)
def test_the_preferred_kind_of_answer_is_chosen(accept: str, answer: PreferredResponse) -> None:
    assert preferred_response({"accept": accept}) == answer


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [("", 0), ("wait=5", 5), ("respond-async, wait=9", 9), ("wait=99999", 120), ("wait=-1", 0), ("wait=soon", 0)],
)
def test_a_wait_is_read_and_bounded(prefer: str, seconds: int) -> None:
    assert wait_seconds({"prefer": prefer}) == seconds


@given(after=st.integers(0, 12), before=st.integers(0, 8))
def test_who_comes_back_gets_what_it_missed_and_a_stranger_gets_all(after: int, before: int) -> None:
    """``after`` names an event that was told; or none that this process has told."""

    async def follow() -> list[int]:
        event_log = EventLog()
        for _ in range(before):
            event_log.append("progress", "{}")
        reader = asyncio.create_task(collect(event_log))
        await asyncio.sleep(0)
        event_log.append("progress", "{}")
        event_log.append("end", "{}")
        event_log.append("progress", "{}")  # nothing follows the end
        return await reader

    async def collect(event_log: EventLog) -> list[int]:
        return [event.number async for event in event_log.subscribe(after)]

    first = after + 1 if after <= before else 1
    assert asyncio.run(follow()) == list(range(first, before + 3))


def test_a_bucket_fills_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("serving.http.rate_limit.time.monotonic", lambda: now)
    limit = RateLimit(per_minute=6)
    for _ in range(6):
        limit.take("me")
    with pytest.raises(BusyError) as caught:
        limit.take("me")
    assert caught.value.retry_after == 10
    limit.take("another")
    now += 10.1
    limit.take("me")
    with pytest.raises(BusyError):
        limit.take("me")


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


@pytest.mark.parametrize("where", ["directory", "s3"])
def test_files_are_kept_by_job_and_removed_with_it(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "files")
    if where == "s3":
        bucket: Bucket = request.getfixturevalue("s3")
        root = f"{bucket.uri}/files"
    files = JobFiles(root)
    data = np.random.default_rng(0).bytes(1000)
    files.put("-job_1", {"bass.flac": data, "manifest.json": b"{}"})
    files.put("job_2", {"bass.flac": b"other"})
    assert files.get("-job_1", "bass.flac") == data
    assert files.get("-job_1", "drums.flac") is None
    files.remove("-job_1")
    files.remove("-job_1")
    assert files.get("-job_1", "bass.flac") is None
    assert files.get("job_2", "bass.flac") == b"other"


@pytest.mark.parametrize(
    ("job", "name"), [("job", "../x"), ("../job", "x"), ("job", "a/b"), ("job", ""), ("", "x"), ("job", "a\0")]
)
def test_files_lie_nowhere_else(job: str, name: str, tmp_path: Path) -> None:
    files = JobFiles(str(tmp_path / "files"))
    with pytest.raises(StemsError):
        files.get(job, name)
    with pytest.raises(StemsError):
        files.put(job, {name: b"x"})
