"""Read files over HTTP, only from explicitly allowed hosts."""

from __future__ import annotations

import http.client
import ipaddress
import random
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from models.errors import StemsError
from pipelines.catalog.storage.stores import TIMEOUT_S, Unreachable

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Longest waits between tries; half of each at least, so that many workers do not come back at once."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_DEADLINE_S = 900.0
_BLOCK = 2**18
_BUSY = (408, 425, 429)


@dataclass(frozen=True)
class Answer:
    """A host's response: the body (empty for HEAD), its declared size (0 if undeclared) and its stamp."""

    data: bytes
    size: int
    stamp: str


def is_http(uri: str) -> bool:
    """True for ``http://`` and ``https://``."""
    return uri.lower().startswith(("http://", "https://"))


def check_host(uri: str, allow: Collection[str]) -> SplitResult:
    """The parts of an address whose host is allowed. StemsError naming host and hint otherwise."""
    try:
        parts = urlsplit(uri)
        host, _ = (parts.hostname or "").rstrip("."), parts.port  # a port may be no number
    except ValueError as error:
        raise StemsError(f"'{uri}' is not an address ({error}).", "Correct or remove it.", code="address") from error
    if not host or host not in {name.lower().strip("[]") for name in allow}:
        raise StemsError(
            f"'{uri}' is on the host '{host}', which is not allowed.",
            f"Add it if you trust it: --allow-hosts {host}.",
            code="host",
            field="allow_hosts",
        )
    return parts


def read_http(uri: str, allow: Collection[str], *, max_bytes: int | None = None, method: str = "GET") -> Answer:
    """A file over HTTP. Every redirect's host must be allowed too.

    The address that a name resolves to is checked on the open connection, before anything is sent, so that no
    later lookup can differ: private, loopback and link-local ones are refused unless the host is allowed literally
    as that address, or as ``localhost``. Proxies of the environment are not used.

    Args:
        uri: where the file is.
        allow: host names, without ports.
        max_bytes: refuse larger files: by their declared size, and whatever that says, while they come in.
        method: HTTP method: GET, or HEAD for size and stamp only.

    Raises:
        StemsError: code ``host``, ``address``, ``too_large``, or ``refused`` for an answer such as 403.
        FileNotFoundError: the host says that there is none.
        Unreachable: no answer, 5xx or 429 after several tries.
    """
    deadline = time.monotonic() + _DEADLINE_S
    for pause in PAUSES_S:
        try:
            return _follow(uri, allow, max_bytes, method, deadline)
        except _TransientError:
            time.sleep(pause * random.uniform(0.5, 1.0))
    try:
        return _follow(uri, allow, max_bytes, method, deadline)
    except _TransientError as error:
        raise Unreachable(uri, error) from error


class _TransientError(Exception):
    """A transient failure that is worth another try."""


def _follow(uri: str, allow: Collection[str], max_bytes: int | None, method: str, deadline: float) -> Answer:
    at = uri
    for _ in range(_MAX_REDIRECTS + 1):
        parts = check_host(at, allow)
        connection = _connect(parts)
        try:
            connection.request(method, _target(parts), headers={"Accept-Encoding": "identity"})
            response = connection.getresponse()
            place = response.getheader("Location")
            if response.status in _REDIRECTS and place:
                at = urljoin(at, place)
                if not is_http(at):
                    raise StemsError(f"'{uri}' leads to '{at}'.", "Give its true address.", code="address")
                continue
            return _take(response, uri, max_bytes, method, deadline)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, FileNotFoundError):
                raise
            if isinstance(error, http.client.InvalidURL):
                raise StemsError(f"'{uri}' is not an address.", "Correct or remove it.", code="address") from error
            raise _TransientError(error or type(error).__name__) from error
        finally:
            connection.close()
    raise StemsError(f"'{uri}' has too many redirects.", "Give its final address.", code="address")


def _connect(parts: SplitResult) -> http.client.HTTPConnection:
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme == "https":
        secure = ssl.create_default_context()
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_S, context=secure
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
    try:
        connection.connect()
        _check_peer(host, str(connection.sock.getpeername()[0]))
    except StemsError:
        connection.close()
        raise
    except OSError as error:
        connection.close()
        raise _TransientError(error or type(error).__name__) from error
    return connection


def _check_peer(host: str, peer: str) -> None:
    address = ipaddress.ip_address(peer.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_global and not address.is_multicast:
        return
    if host == "localhost" and address.is_loopback:
        return
    if host != peer:
        raise StemsError(
            f"The host '{host}' is at {peer}, an address within this network.",
            f"If it is meant, write the address into the catalog, and --allow-hosts {peer}.",
            code="host",
            field="allow_hosts",
        )


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else path


def _take(
    response: http.client.HTTPResponse, uri: str, max_bytes: int | None, method: str, deadline: float
) -> Answer:
    if response.status in (404, 410):
        raise FileNotFoundError(uri)
    if response.status in _BUSY or response.status >= 500:
        raise _TransientError(f"it answers {response.status} {response.reason}")
    if response.status != 200:
        raise StemsError(
            f"'{uri}' is refused: {response.status} {response.reason}.", "Check the address.", code="refused"
        )
    stamp = response.getheader("ETag") or response.getheader("Last-Modified") or ""
    declared = response.getheader("Content-Length") or ""
    size = int(declared) if declared.isascii() and declared.isdigit() else 0
    if method == "HEAD":
        return Answer(b"", size, stamp)
    if max_bytes is not None and size > max_bytes:
        raise too_large(uri, size, max_bytes)
    data = _body(response, uri, max_bytes, deadline)
    if len(data) < size:
        raise _TransientError(f"it broke off after {len(data)} of {size} bytes")
    return Answer(data, len(data), stamp)


def _body(response: http.client.HTTPResponse, uri: str, max_bytes: int | None, deadline: float) -> bytes:
    data = bytearray()
    while block := response.read1(_BLOCK):
        data += block
        if max_bytes is not None and len(data) > max_bytes:
            raise too_large(uri, len(data), max_bytes)
        if time.monotonic() > deadline:
            raise _TransientError(f"only {len(data)} bytes came in {_DEADLINE_S:.0f} s")
    return bytes(data)


def too_large(uri: str, size: int, max_bytes: int) -> StemsError:
    """The error for a file over the limit; ``size`` is what is known of it so far."""
    return StemsError(
        f"'{uri}' has {size / 1e6:.1f} MB or more; at most {max_bytes / 1e6:g} are read.",
        "Compress it, or raise the limit.",
        code="too_large",
    )
