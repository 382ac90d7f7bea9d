"""ASGI middleware: limits, a log line per request, and an answer for unexpected errors."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from http import HTTPStatus

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.errors import StemsError
from models.files.storage import storage_reason
from serving import tracing
from serving.addresses import networks
from serving.config import ServeConfig
from serving.errors import broken, no_room
from serving.http.api_keys import KeyRing
from serving.http.origins import refusal
from serving.http.problems import request_id, respond
from serving.http.proxies import as_sent, link, route_path
from serving.metrics import Meter

log = logging.getLogger(__name__)
requests_log = logging.getLogger("stems.requests")

# Everything the page needs comes from the service itself; /docs alone brings its parts from elsewhere.
_PAGE_POLICY = b"default-src 'self'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'"

_REFUSED = {
    b"x-request-timeout-seconds": "The service's time limits are not the client's to set.",
    b"x-request-disconnect-disabled": "A client that leaves is not played for.",
}
"""Headers by which clients could change how Ray Serve treats their requests."""


class RequestGuard:
    """Middleware: refuses bodies that are too large, too slow or compressed; turns every error into a problem.

    Without keys it also refuses what pages of other sites send. What is behind sees a request as its client sent it,
    before proxies.

    Args:
        app: what is behind.
        config: the limits of bodies, hosts and proxies.
        keys: whether there are any.
        meter: what is measured.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, keys: KeyRing, meter: Meter) -> None:
        self.app, self._config, self._keys, self._meter = app, config, keys, meter
        self._trusted = networks(config.trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":  # there are none
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = None
        try:
            scope = as_sent(scope, self._config.root_path, self._trusted)
        except StemsError as error:
            refused = error
        exchange = _Exchange(scope, receive, send, int(self._config.max_upload_mb * 1e6), self._config.body_seconds)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            with tracing.span(scope["method"], tracing.parent_of(headers), server=True, path=_route(scope)):
                await self._serve(scope, receive, exchange, refused)
        finally:
            self._note(scope, exchange)

    async def _serve(self, scope: Scope, receive: Receive, exchange: _Exchange, refused: StemsError | None) -> None:
        try:
            refused = refused or _refused(scope) or await self._foreign(scope)
            if refused is not None:
                await respond(scope, refused)(scope, receive, exchange.forward)
                return
            if not route_path(scope):
                await RedirectResponse(link(scope, "/"), HTTPStatus.PERMANENT_REDIRECT)(scope, receive, exchange.send)
                return
            if exchange.cut is None:
                await self.app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if exchange.cut is None:
                full = storage_reason(error) is not None
                if full:
                    log.error("Request %s failed: %s", request_id(scope), error)
                else:
                    log.exception("Request %s failed.", request_id(scope))
                if exchange.status:
                    raise
                await respond(scope, no_room() if full else broken())(scope, receive, exchange.send)
        if exchange.cut is not None and not exchange.status:
            await respond(scope, exchange.cut)(scope, receive, exchange.forward)

    async def _foreign(self, scope: Scope) -> StemsError | None:
        """The error for a cross-site request. None if there are keys: no browser adds a key by itself."""
        refused = refusal(scope["headers"], route_path(scope), self._config.hosts)
        return None if refused is None or (await self._keys.known("")).wanted else refused

    def _note(self, scope: Scope, exchange: _Exchange) -> None:
        """Log one line per request and count it; never log its content."""
        route, seconds = _route(scope), time.monotonic() - exchange.began
        self._meter.answered(route, exchange.status, exchange.answered_after or seconds)
        state = scope.get("state", {})
        if "problem" in state:
            self._meter.problem(state["problem"])
        line = {
            "method": scope["method"],
            "route": route,
            "status": exchange.status,
            "seconds": round(seconds, 4),
            "bytes_in": exchange.seen,
            "request_id": request_id(scope),
            "owner": state.get("owner", ""),
            "job": state.get("job", ""),
            "problem": state.get("problem", ""),
        }
        requests_log.info(json.dumps(line))


class _Exchange:
    """One request in progress: bytes received, and whether its response has started."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_bytes: int, body_seconds: float) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._max_bytes, self._body_seconds = max_bytes, body_seconds
        self._whole = False
        self.began = time.monotonic()
        self.answered_after = 0.0
        self.seen = self.status = 0
        self.cut: StemsError | None = None
        """Why its body was not read to the end."""
        if any(name == b"content-length" and _number(value) > max_bytes for name, value in scope["headers"]):
            self.cut = _too_large(max_bytes)

    async def receive(self) -> Message:
        """Receive the next part of the body; raise if the body is too large or too slow."""
        if self._whole:
            return await self._receive()  # that the client has left
        left = self.began + self._body_seconds - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError:
            self.cut = _too_slow(self._body_seconds)
            raise _CutShortError from None
        self._whole = not message.get("more_body", False)
        self.seen += len(message.get("body", b""))
        if self.seen > self._max_bytes:
            self.cut = _too_large(self._max_bytes)
            raise _CutShortError
        return message

    async def send(self, message: Message) -> None:
        """Send a response part, unless the body was cut short: parsers would report it as malformed."""
        if self.cut is None or self.status:
            await self.forward(message)

    async def forward(self, message: Message) -> None:
        """Send a response part, with the headers that every response has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answered_after = time.monotonic() - self.began
            headers = list(message.get("headers", ()))
            if self.status == HTTPStatus.REQUEST_TIMEOUT:
                headers.append((b"connection", b"close"))  # the client does not send the rest of the body
            message = {**message, "headers": [*headers, *_headers(route_path(self._scope), headers)]}
        elif self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)


class _CutShortError(Exception):
    """Ends the reading of a body."""


def _refused(scope: Scope) -> StemsError | None:
    for name, value in scope["headers"]:
        if name in _REFUSED:
            return StemsError(_REFUSED[name], "Leave it out.", code="header", field=name.decode())
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            hint = "Send the body as it is; compressed audio formats are welcome."
            return StemsError("The body is compressed.", hint, code="media_type", field="content-encoding")
    return None


def _too_large(max_bytes: int) -> StemsError:
    return StemsError(
        f"The body is larger than {max_bytes / 1e6:g} MB.",
        "Send less audio, or a compressed format such as FLAC or OGG.",
        code="too_large",
        field="body",
    )


def _too_slow(seconds: float) -> StemsError:
    return StemsError(
        f"The body has not arrived within {seconds:g} s.", "Send it faster.", code="too_slow", field="body"
    )


def _number(value: bytes) -> int:
    return int(value) if value.isdigit() and len(value) < 20 else 0 if not value.isdigit() else 2**63


def _route(scope: Scope) -> str:
    """The path with placeholders for ids. Ids are bearer secrets; never log them."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) and path else ("page" if scope["method"] in ("GET", "HEAD") else "other")


def _headers(path: str, given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-content-type-options", b"nosniff")]
    if not any(name.lower() == b"cache-control" for name, _ in given):
        # Parts of the page fit together only in one version; jobs change, and belong to a key.
        headers.append((b"cache-control", b"no-store" if path.startswith("/v1/") else b"no-cache"))
    if path != "/docs":
        headers.append((b"content-security-policy", _PAGE_POLICY))
    return headers
