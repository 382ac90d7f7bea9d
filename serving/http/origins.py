"""Which requests are refused where there are no keys: those that a page of another site has a browser send.

A browser that runs on this machine reaches the service, whatever page it shows. Such a page gives itself away by
``Origin`` and ``Sec-Fetch-Site``, which a browser adds and a page cannot change; or, where its name was made to mean
this machine (DNS rebinding), by ``Host``. Programs other than browsers send no ``Origin``, and are let in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from ipaddress import ip_address

from models.errors import StemsError
from serving.addresses import HOST

HEALTH = ("/livez", "/readyz", "/metrics")
"""Probes ask for these by the address of the machine."""

_ORIGIN = re.compile(r"https?://([^/?#@]+)")


def refusal(headers: Sequence[tuple[bytes, bytes]], path: str, hosts: Collection[str]) -> StemsError | None:
    """Why a request without a key is refused; None where it is not.

    Args:
        headers: of the request; X-Forwarded-Host only if a trusted proxy sent it.
        path: of the route.
        hosts: names by which the service may be called, beside those of loopback.
    """
    forwarded = [host.strip() for chain in _values(headers, b"x-forwarded-host") for host in chain.split(",")]
    named = _values(headers, b"host") + forwarded
    for host in named:
        if not (_is_loopback(host) or _is_listed(host, hosts) or (path in HEALTH and _address(host) is not None)):
            hint = f"Call it by a name of loopback, such as 127.0.0.1, or list '{host[:80]}' in the setting hosts."
            return _foreign(f"The service is not known as '{host[:80]}'.", hint, "host")
    for origin in _values(headers, b"origin"):
        found = _ORIGIN.fullmatch(origin)
        if found is None or not (found[1] in named or _is_listed(found[1], hosts)):
            return _foreign(f"The request was sent by a page of '{origin[:80]}'.", _OWN_PAGE, "origin")
    # Another port of the same machine is "same-site", and may be another user's.
    if any(site not in ("same-origin", "none") for site in _values(headers, b"sec-fetch-site")):
        return _foreign("The request was sent by a page of another site.", _OWN_PAGE, "sec-fetch-site")
    return None


_OWN_PAGE = "Use the service's own page, or make API keys with `stems keys add NAME`."


def _foreign(message: str, hint: str, field: str) -> StemsError:
    return StemsError(message, hint, code="foreign", field=field)


def _values(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1").strip().lower() for name, value in headers if name == wanted]


def _is_listed(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is listed, with its port or without."""
    found = HOST.fullmatch(host)
    return found is not None and (host in hosts or found[1] in hosts)


def _is_loopback(host: str) -> bool:
    found = HOST.fullmatch(host)
    if found is not None and found[1] == "localhost":
        return True
    address = _address(host)
    return address is not None and ip_address(address).is_loopback


def _address(host: str) -> str | None:
    """The IP address that a host is written as; None for a name."""
    found = HOST.fullmatch(host)
    text = found[1] if found else ""
    bracketed = text.startswith("[")
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    return str(address) if bracketed == (address.version == 6) else None
