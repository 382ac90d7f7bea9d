"""The address of a service, and the client's key."""

from __future__ import annotations

import os
from importlib.metadata import version

import httpx

from models.errors import StemsError

SERVER = "http://127.0.0.1:8000"
KEY_VARIABLE = "STEMS_API_KEY"


def address(server: str) -> httpx.URL:
    """The address of a service; StemsError if it is not an address."""
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise StemsError(f"'{server}' is no address: {error}.", f"Give one as {SERVER}.", field="server") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise StemsError(f"'{server}' is no address of a service.", f"Give one as {SERVER}.", field="server")
    return url


def headers(key: str | None) -> dict[str, str]:
    """The headers of every request, with the key, or the environment's. StemsError for a key that cannot be sent."""
    key = os.environ.get(KEY_VARIABLE, "") if key is None else key
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise StemsError("The API key contains invalid characters.", "Copy it again.", field="key")
    agent = {"User-Agent": f"musicgen-stem-ray/{version('musicgen-stem-ray')}"}
    return agent | ({"Authorization": f"Bearer {key}"} if key else {})
