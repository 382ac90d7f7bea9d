"""How hosts, prefixes of paths and addresses of proxies are written in settings and headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
"""NAME or NAME:PORT in small letters; the first group is the name."""

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*")
_OWN = ("/v1", "/docs", "/openapi.json", "/livez", "/readyz", "/metrics")


def clean_host(text: str) -> str:
    """``Music.Example:8443`` -> ``music.example:8443``; ValueError where it is neither NAME nor NAME:PORT."""
    host = text.strip().lower()
    if not HOST.fullmatch(host):
        raise ValueError("write NAME or NAME:PORT, such as music.example")
    return host


def clean_prefix(text: str) -> str:
    """``/music/`` -> ``/music``; ValueError where it is not a prefix of paths."""
    prefix = text.strip().rstrip("/")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("write a path such as /music, of letters, digits and -._~")
    if prefix in _OWN:
        raise ValueError(f"write a path such as /music; {prefix} is the service's own")
    return prefix


def networks(addresses: Sequence[str]) -> tuple[Network, ...]:
    """``10.0.0.0/8`` or ``127.0.0.1`` -> the addresses that it names; ValueError where it names none."""
    try:
        return tuple(ip_network(address, strict=False) for address in addresses)
    except ValueError as error:
        raise ValueError(f"write ADDRESS or ADDRESS/BITS, such as 10.0.0.0/8: {error}") from error
