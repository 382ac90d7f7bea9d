from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from serving.config import ServeConfig
from serving.http.api_keys import KeyRing
from serving.http.middleware import RequestGuard
from serving.jobs.database import open_database
from serving.metrics import Meter

CHUNK = b"x" * 100
LIMIT = 1000


class Upload:
    """A chunked body far beyond the limit; counts what was taken of it."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        self.taken = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.taken += len(CHUNK)
        return {"type": "http.request", "body": CHUNK, "more_body": self.taken < 100 * LIMIT}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    def through(self, app: Any) -> None:
        config = ServeConfig(model="m", max_upload_mb=LIMIT / 1e6, body_seconds=0.2)
        keys = KeyRing(open_database("sqlite://"))
        asyncio.run(RequestGuard(app, config, keys, Meter())(self.scope, self.receive, self.send))


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    await Request(scope, receive).body()


async def mistakes_it(scope: Scope, receive: Receive, send: Send) -> None:
    """As parsers do, it takes a body cut short for a malformed one."""
    try:
        await Request(scope, receive).body()
    except Exception:
        await PlainTextResponse("malformed", 400)(scope, receive, send)


def statuses(upload: Upload) -> list[int]:
    return [message["status"] for message in upload.sent if message["type"] == "http.response.start"]


def test_a_stream_is_cut_where_the_limit_is_passed() -> None:
    for app in (reads_all, mistakes_it):
        upload = Upload([])
        upload.through(app)
        assert statuses(upload) == [413]
        assert upload.taken <= LIMIT + len(CHUNK)


def test_a_declared_size_is_refused_before_anything_is_read() -> None:
    upload = Upload([(b"content-length", b"1001")])
    upload.through(reads_all)
    assert statuses(upload) == [413]
    assert upload.taken == 0


def test_every_answer_bears_the_common_headers() -> None:
    upload = Upload([])
    upload.through(PlainTextResponse("fine"))
    names = [name for name, _ in upload.sent[0]["headers"]]
    assert statuses(upload) == [200]
    assert b"x-content-type-options" in names
    assert b"content-security-policy" in names
