"""Under which address a proxy shows the service: its prefix of paths, its host, its scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from starlette.types import Scope

from models.errors import StemsError
from serving.addresses import Network, clean_prefix

_FORWARDED = (b"x-forwarded-prefix", b"x-forwarded-host", b"x-forwarded-proto")


def seen(scope: Scope, root_path: str, trusted: Sequence[Network]) -> Scope:
    """A request as its client sent it: its path begins with ``root_path``, which is what a proxy has put before it.

    X-Forwarded-Prefix, -Host and -Proto count if a trusted proxy sends them, and are removed otherwise. A prefix that
    is in the scope already, such as a route prefix of Ray Serve, follows the proxy's.

    Raises:
        StemsError: a trusted proxy gives a prefix that is none.
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
            "The prefix in X-Forwarded-Prefix is no path.",
            f"In the proxy's settings, {error}.",
            code="header",
            field="x-forwarded-prefix",
        ) from error


def route_path(scope: Mapping[str, Any]) -> str:
    """The path below the prefix: that of the API's routes."""
    path, prefix = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(prefix) if path == prefix or path.startswith(f"{prefix}/") else path


def link(scope: Mapping[str, Any], path: str = "") -> str:
    """Where a client finds a route: its path behind the prefix, if there is one."""
    return str(scope.get("root_path", "")).rstrip("/") + path


def _below(scope: Scope, prefix: str) -> Scope:
    """Most proxies remove their prefix from the path; ASGI wants it there."""
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

    Ray's server replaces a client on loopback by what X-Forwarded-For says, so ``client`` may be claimed. But a
    connection that was accepted on loopback comes from loopback.
    """
    server, client = scope.get("server"), scope.get("client")
    try:
        if server and ip_address(server[0]).is_loopback:
            return str(server[0])
    except ValueError:
        pass
    return str(client[0]) if client else ""
