"""Parse and check host names, path prefixes and networks in a service's settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
"""NAME or NAME:PORT in lower case; the first group is the name."""

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*")
_OWN = ("/v1", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics")


def clean_host(text: str) -> str:
    """``Music.Example:8443`` -> ``music.example:8443``; ValueError if it is not NAME or NAME:PORT."""
    host = text.strip().lower()
    if not HOST.fullmatch(host):
        raise ValueError("write NAME or NAME:PORT, such as music.example")
    return host


def clean_prefix(text: str) -> str:
    """``/music/`` -> ``/music``; ValueError if it is not a path prefix, or is one of the service's own paths."""
    prefix = text.strip().rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("write a path such as /music, of letters, digits and -._~")
    if prefix in _OWN:
        raise ValueError(f"write a path such as /music; the service itself uses {prefix}")
    return prefix


def networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """``10.0.0.0/8`` or ``127.0.0.1`` -> networks; ValueError for text that is not an address."""
    try:
        return tuple(ip_network(address, strict=False) for address in addresses)
    except ValueError as error:
        raise ValueError(f"write ADDRESS or ADDRESS/BITS, such as 10.0.0.0/8: {error}") from error
