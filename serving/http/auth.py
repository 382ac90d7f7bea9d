"""Who asks, how often, and with what kind of body: checked before a request is read."""

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
    """Knows clients by their keys, where there are keys, and counts what they ask for."""

    def __init__(self, config: ServeConfig, keys: KeyRing, meter: Meter) -> None:
        self._keys, self._meter = keys, meter
        self._limit = RateLimit(config.requests_per_minute)

    async def require_key(self, http: Request) -> None:
        """Refuse who has no key, but on this machine while there are none; ``state.owner`` is then whose it is."""
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
        """The same, and refuse who asks too often."""
        await self.require_key(http)
        try:
            self._limit.take(http.state.owner or (http.client.host if http.client else ""))
        except BusyError:
            self._meter.shed("rate")
            raise


def _is_local(http: Request) -> bool:
    """Whether it comes from this machine: over loopback, or not over a network."""
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
