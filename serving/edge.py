"""What every request passes before the API sees it: a limit on its size, and a last resort for faults."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import StemsError
from serving.problems import request_id, respond, respond_broken

log = logging.getLogger(__name__)

# Everything the page needs comes from the service itself; /docs alone brings its parts from elsewhere.
_PAGE_POLICY = b"default-src 'self'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'"


class Edge:
    """ASGI wrapper: refuses a body beyond ``max_bytes`` as it streams in, and lets no fault out as it is."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        passage = _Passage(scope, receive, send, self.max_bytes)
        try:
            if not passage.oversized:
                await self.app(scope, passage.receive, passage.send)
        except Exception:
            if not passage.oversized:
                log.exception("Request %s failed.", request_id(scope))
                if passage.answered:
                    raise
                await respond_broken(scope)(scope, receive, passage.send)
        if passage.oversized and not passage.answered:
            await respond(scope, self._too_large())(scope, receive, passage.forward)

    def _too_large(self) -> StemsError:
        return StemsError(
            f"The body is larger than {self.max_bytes / 1e6:g} MB.",
            "Send less audio, or a compressed format such as FLAC or OGG.",
            code="too_large",
            field="body",
        )


class _Passage:
    """One request on its way through: what it has sent, and whether it was answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_bytes: int) -> None:
        self._scope, self._receive, self._send, self._max_bytes = scope, receive, send, max_bytes
        self._seen = 0
        self.answered = False
        self.oversized = any(
            name == b"content-length" and value.isdigit() and int(value) > max_bytes
            for name, value in scope["headers"]
        )

    async def receive(self) -> Message:
        """The next piece of the body, or an error once there is too much of it."""
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._max_bytes:
            self.oversized = True
            raise _OversizedError
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on, unless it answers a body that was cut short: parsers call that malformed."""
        if not self.oversized or self.answered:
            await self.forward(message)

    async def forward(self, message: Message) -> None:
        """Pass an answer on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.answered = True
            message = {**message, "headers": [*message.get("headers", ()), *_headers(self._scope["path"])]}
        await self._send(message)


class _OversizedError(Exception):
    """Ends the reading of a body."""


def _headers(path: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-content-type-options", b"nosniff")]
    if path != "/docs":
        headers.append((b"content-security-policy", _PAGE_POLICY))
    return headers
