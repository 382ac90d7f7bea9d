"""FLAC: as long as its last frame says, whatever STREAMINFO counts (RFC 9639)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from models.containers.parts import AS_IT_IS, TOLERANCE_S, Part, truncated
from models.containers.tags import before_trailing_tags
from models.containers.view import FileView, View

_MAGIC = b"fLaC"
_BEGIN = b"fLaC\x00\x00\x00\x22"
_INFO_BYTES = 34
_TOTAL_BITS = 36
_WINDOW, _HEADER = 1 << 16, 16
_TRIES = 50_000  # bytes that may begin a header, after which none is expected
_BLOCKS = {1: 192, **{n: 576 << (n - 2) for n in range(2, 6)}, **{n: 256 << (n - 8) for n in range(8, 16)}}
_EXTRA_RATE_BYTES = {12: 1, 13: 2, 14: 2}


@dataclass(frozen=True)
class StreamInfo:
    """What a FLAC's first block says: samples of a block, rate in Hz, and samples in all (0: not known)."""

    block: int
    rate: int
    total: int


def flac_parts(data: View, label: str) -> tuple[Part, ...]:
    """A FLAC, or several behind each other, with their samples counted.

    Raises:
        StemsError: ``truncated`` where frames are missing at the end.
    """
    starts = [0]
    while isinstance(data, bytes) and (following := data.find(_BEGIN, starts[-1] + len(_BEGIN))) >= 0:
        starts.append(following)
    if len(starts) == 1:
        return _one(data, label)
    pieces = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
    return tuple(replace(part, data=part.data or piece) for piece in pieces for part in _one(piece, label))


def _one(data: View, label: str) -> tuple[Part, ...]:
    """A FLAC that is not followed by another; as it is where its blocks or frames cannot be found."""
    info = _stream_info(data)
    end = before_trailing_tags(data)
    counted = _samples(data, info, end) if info else 0
    if info is None or not counted:
        return AS_IT_IS
    if counted != info.total and isinstance(data, FileView):
        return flac_parts(data[:], label)  # another one may follow
    if counted < info.total - TOLERANCE_S * info.rate:
        raise truncated(label, counted / info.rate, info.total / info.rate)
    return (Part(_with_total(data[:end], counted) if counted > info.total else None, counted),)


def _stream_info(data: View) -> StreamInfo | None:
    head = data[:42]
    if head[:4] != _MAGIC or len(head) < 42 or head[4] & 0x7F != 0:
        return None
    packed = int.from_bytes(head[18:26], "big")
    block = int.from_bytes(head[8:10], "big")
    return StreamInfo(block, packed >> 44, packed & ((1 << _TOTAL_BITS) - 1))


def _with_total(data: bytes, total: int) -> bytes:
    packed = int.from_bytes(data[18:26], "big") >> _TOTAL_BITS << _TOTAL_BITS | total
    return data[:18] + packed.to_bytes(8, "big") + data[26:]


def _samples(data: View, info: StreamInfo, end: int) -> int:
    """Samples up to the end of the last frame; 0 where no frame is found.

    What looks like a frame's header is one if it ends where STREAMINFO does, or begins where another ends.
    """
    last: tuple[int, int] | None = None
    for start, stop in _frames_backwards(data, info, end):
        if stop == info.total or start == 0:
            return stop if last is None else max(stop, last[1] if last[0] == stop else 0)
        if last is not None and stop == last[0]:
            return last[1]
        last = (start, stop)
    return 0


def _frames_backwards(data: View, info: StreamInfo, end: int) -> Iterator[tuple[int, int]]:
    """First and last sample of what looks like frames, from the last one on."""
    stop, tries = end, 0
    while stop > 0 and tries < _TRIES:
        start = max(0, stop - _WINDOW)
        window = data[start : min(stop + _HEADER, end)]
        at = min(len(window), stop - start)
        while (at := window.rfind(b"\xff", 0, at)) >= 0:
            tries += 1
            if found := _frame(window[at : at + _HEADER], info):
                yield found
        stop = start


def _frame(header: bytes, info: StreamInfo) -> tuple[int, int] | None:
    """The first sample of the frame whose header this is, and the one behind its last; None for what is no header."""
    if len(header) < 6 or header[1] not in (0xF8, 0xF9) or header[3] & 1 or header[3] >> 4 > 10:
        return None
    size, rate = header[2] >> 4, header[2] & 15
    number, at = _coded_number(header, 4)
    if size == 0 or rate == 15 or number < 0:
        return None
    if size in (6, 7):
        width = size - 5
        block, at = int.from_bytes(header[at : at + width], "big") + 1, at + width
    else:
        block = _BLOCKS[size]
    at += _EXTRA_RATE_BYTES.get(rate, 0)
    if at >= len(header) or _crc8(header[:at]) != header[at]:
        return None
    first = number if header[1] == 0xF9 else number * info.block
    return first, first + block


def _coded_number(header: bytes, at: int) -> tuple[int, int]:
    """A number in the form of UTF-8, of up to seven bytes, and where it ends; -1 for none."""
    first = header[at]
    if first < 0x80:
        return first, at + 1
    more = 7 - (first ^ 0xFF).bit_length()
    if not 1 <= more <= 6 or at + 1 + more > len(header):
        return -1, at
    value = first & ((1 << (6 - more)) - 1)
    for byte in header[at + 1 : at + 1 + more]:
        if byte & 0xC0 != 0x80:
            return -1, at
        value = value << 6 | byte & 0x3F
    return value, at + 1 + more


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
