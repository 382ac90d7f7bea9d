"""Refuses requests that pages of other sites send through a browser, while the service has no API keys.

A browser on this machine reaches the service, whatever page it shows. ``Origin`` and ``Sec-Fetch-Site`` identify such
a page; the browser adds them and the page cannot change them. ``Host`` identifies a page whose name was pointed at
this machine (DNS rebinding). Programs other than browsers send no ``Origin``, and are accepted.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address

from models.errors import StemsError
from serving.addresses import HOST

HEALTH = ("/livez", "/readyz", "/metrics")
"""Probes request these by the machine's IP address."""

_ORIGIN = re.compile(r"https?://([^/?#@]+)")


def refusal(headers: Sequence[tuple[bytes, bytes]], path: str, hosts: Collection[str]) -> StemsError | None:
    """The error for a request that must be refused; None for one that may pass.

    Args:
        headers: the request's headers; X-Forwarded-Host only if a trusted proxy sent it.
        path: the path of the route.
        hosts: names of the service beside those of loopback.
    """
    forwarded = [host.strip() for chain in _values(headers, b"x-forwarded-host") for host in chain.split(",")]
    named = _values(headers, b"host") + forwarded
    for host in named:
        if not (_is_loopback(host) or _is_listed(host, hosts) or (path in HEALTH and _address(host) is not None)):
            hint = f"Use a loopback address such as 127.0.0.1, or list '{host[:80]}' in the setting hosts."
            return _foreign(f"'{host[:80]}' is not a name of this service.", hint, "host")
    for origin in _values(headers, b"origin"):
        found = _ORIGIN.fullmatch(origin)
        if found is None or not (found[1] in named or _is_listed(found[1], hosts)):
            return _foreign(f"A page of '{origin[:80]}' sent the request.", _OWN_PAGE, "origin")
    # Another port of this machine counts as "same-site", and may belong to another user.
    if any(site not in ("same-origin", "none") for site in _values(headers, b"sec-fetch-site")):
        return _foreign("A page of another site sent the request.", _OWN_PAGE, "sec-fetch-site")
    return None


_OWN_PAGE = "Use the service's own page, or make API keys with `stems keys add NAME`."


def _foreign(message: str, hint: str, field: str) -> StemsError:
    return StemsError(message, hint, code="foreign", field=field)


def _values(headers: Sequence[tuple[bytes, bytes]], sought: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for name, value in headers if name == sought]


def _is_listed(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is listed, with or without its port."""
    found = HOST.fullmatch(host)
    return found is not None and (host in hosts or found[1] in hosts)


def _is_loopback(host: str) -> bool:
    found = HOST.fullmatch(host)
    if found is not None and found[1] == "localhost":
        return True
    address = _address(host)
    return address is not None and ip_address(address).is_loopback


def _address(host: str) -> str | None:
    """The IP address in a host; None for a name."""
    found = HOST.fullmatch(host)
    text = found[1] if found else ""
    bracketed = text.startswith("[")
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    return str(address) if bracketed == (address.version == 6) else None
