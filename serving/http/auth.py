"""Authentication, rate limits and content types, checked before a request is read."""

from __future__ import annotations

from ipaddress import ip_address

from fastapi import Request

from models.errors import StemsError
from serving.config import ServeConfig
from serving.errors import BusyError
from serving.http.api_keys import KeyRing
from serving.http.rate_limit import RateLimit
from serving.metrics import Meter


class Auth:
    """Identifies clients by API keys, if there are any, and limits their request rate."""

    def __init__(self, config: ServeConfig, keys: KeyRing, meter: Meter) -> None:
        self._keys, self._meter = keys, meter
        self._limit = RateLimit(config.requests_per_minute)

    async def require_key(self, http: Request) -> None:
        """Require a valid API key (loopback is exempt while no keys exist), and set ``request.state.owner``."""
        authorization = http.headers.get("authorization", "")
        scheme, _, key = authorization.partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        known = await self._keys.known(key)
        if known.name is None and (known.wanted or not _is_local(http)):
            raise StemsError(
                "The API key is not known." if authorization else "There is no API key.",
                "Send 'Authorization: Bearer KEY' with a key that was made for you.",
                code="unknown_key",
                field="authorization",
            )
        http.state.owner = known.name or ""

    async def require_key_and_quota(self, http: Request) -> None:
        """Require a valid API key, and refuse a client over its rate limit."""
        await self.require_key(http)
        try:
            self._limit.take(http.state.owner or (http.client.host if http.client else ""))
        except BusyError:
            self._meter.shed("rate")
            raise


def _is_local(http: Request) -> bool:
    """Whether a request comes from this machine: over loopback or a local socket."""
    try:
        return http.client is None or ip_address(http.client.host).is_loopback
    except ValueError:
        return True


async def needs_json(http: Request) -> None:
    """Refuse another content type."""
    _needs_type(http, "application/json")


async def needs_multipart(http: Request) -> None:
    """Refuse another content type."""
    _needs_type(http, "multipart/form-data")


def _needs_type(http: Request, wanted: str) -> None:
    sent = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != wanted:
        raise StemsError(
            f"The content type is '{sent[:80] or 'not given'}'.",
            f"Send {wanted}.",
            code="media_type",
            field="content-type",
        )
