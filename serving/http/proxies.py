"""Undoes what a proxy changes: finds the path prefix, host and scheme that the client used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from starlette.types import Scope

from models.errors import StemsError
from serving.addresses import Network, clean_prefix

_FORWARDED = (b"x-forwarded-prefix", b"x-forwarded-host", b"x-forwarded-proto")


def as_sent(scope: Scope, root_path: str, trusted: Sequence[Network]) -> Scope:
    """A request as its client sent it, with the proxy's prefix before its path.

    The prefix is ``root_path``, or X-Forwarded-Prefix from a trusted proxy. X-Forwarded-Host and -Proto count from a
    trusted proxy, too; from anyone else all three are removed. A prefix that the scope has already, such as Ray
    Serve's route prefix, comes after the proxy's.

    Raises:
        StemsError: a trusted proxy sent a prefix that is not a path.
    """
    headers = dict(scope["headers"])
    if not any(name in headers for name in _FORWARDED):
        return _below(scope, root_path)
    if not _is_trusted(scope, trusted):
        left = [(name, value) for name, value in scope["headers"] if name not in _FORWARDED]
        return _below({**scope, "headers": left}, root_path)
    scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
    if scheme in ("http", "https"):
        scope = {**scope, "scheme": scheme}
    if b"x-forwarded-prefix" not in headers:
        return _below(scope, root_path)
    try:
        return _below(scope, clean_prefix(headers[b"x-forwarded-prefix"].decode("latin-1")))
    except ValueError as error:
        raise StemsError(
            "X-Forwarded-Prefix is not a path.",
            f"Change the proxy's settings: {error}.",
            code="header",
            field="x-forwarded-prefix",
        ) from error


def route_path(scope: Mapping[str, Any]) -> str:
    """The path without the prefix, as the API's routes name it."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else path


def link(scope: Mapping[str, Any], path: str = "") -> str:
    """The path by which a client reaches a route: the prefix, then ``path``."""
    return str(scope.get("root_path", "")).rstrip("/") + path


def _below(scope: Scope, prefix: str) -> Scope:
    """Put the prefix back: most proxies remove it from the path, but ASGI expects it there."""
    inner, path = str(scope.get("root_path", "")).rstrip("/"), scope["path"]
    if inner or not (path == prefix or path.startswith(f"{prefix}/")):
        path = prefix + path
    return {**scope, "path": path, "root_path": prefix + inner}


def _is_trusted(scope: Scope, trusted: Sequence[Network]) -> bool:
    peer = _peer(scope)
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in network for network in trusted)


def _peer(scope: Scope) -> str:
    """The address that the connection comes from.

    Ray's server replaces a loopback client by the address in X-Forwarded-For, so ``client`` can be forged. But a
    connection accepted on loopback comes from loopback.
    """
    server, client = scope.get("server"), scope.get("client")
    try:
        if server and ip_address(server[0]).is_loopback:
            return str(server[0])
    except ValueError:
        pass
    return str(client[0]) if client else ""
