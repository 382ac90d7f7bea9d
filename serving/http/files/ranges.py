"""Parse Range, If-Range and If-None-Match (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from models.errors import StemsError

_RANGE = re.compile(r"bytes\s*=\s*([0-9]*)\s*-\s*([0-9]*)\s*", re.IGNORECASE)
_MOST_DIGITS = 18


class RangeError(StemsError):
    """The requested range lies outside a file of ``size`` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"The file has {size} bytes.", "Ask for a part of these, or for the whole.", code="range", field="range"
        )
        self.size = size


@dataclass(frozen=True)
class Part:
    """Bytes ``start`` to ``stop`` (exclusive) of a file."""

    start: int
    stop: int


def has_it(headers: Mapping[str, str], etag: str) -> bool:
    """Whether the client already has the file with this ``etag``, by If-None-Match."""
    known = headers.get("if-none-match", "")
    return known.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in known.split(","))


def wanted_part(headers: Mapping[str, str], etag: str, size: int) -> Part | None:
    """The requested range; None for the whole file.

    The whole is sent, too, for several parts at once, for what is no range of bytes, and where If-Range names
    another file. A date in If-Range names none.

    Raises:
        RangeError: the part begins behind the end of the file.
    """
    found = _RANGE.fullmatch(headers.get("range", "").strip())
    if found is None or headers.get("if-range", etag).strip() != etag:
        return None
    first, last = found[1], found[2]
    if not (first or last) or len(first) > _MOST_DIGITS or len(last) > _MOST_DIGITS:
        return None
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise RangeError(size)
    return Part(start, stop)
