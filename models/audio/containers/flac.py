"""FLAC: its last frame gives the length, even where STREAMINFO disagrees (RFC 9639)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from models.audio.containers.flac_frames import FRAME_HEADER_BYTES, HEAD_BYTES, TOTAL_BITS, FlacStream
from models.audio.containers.parts import AS_IT_IS, TOLERANCE_S, FilePart, truncated
from models.audio.containers.tags import before_trailing_tags
from models.audio.containers.view import FileView, View

_BEGIN = b"fLaC\x00\x00\x00\x22"
_WINDOW = 1 << 16
_TRIES = 50_000  # candidate header bytes to try before giving up


def flac_parts(data: View, label: str) -> tuple[FilePart, ...]:
    """One FLAC stream or several concatenated ones, with their samples counted.

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


def _one(data: View, label: str) -> tuple[FilePart, ...]:
    """A single FLAC stream; unchanged where its blocks or frames cannot be found."""
    info = FlacStream.parse(data[:HEAD_BYTES])
    end = before_trailing_tags(data)
    counted = _samples(data, info, end) if info else 0
    if info is None or not counted:
        return AS_IT_IS
    if counted != info.samples and isinstance(data, FileView):
        return flac_parts(data[:], label)  # another one may follow
    if counted < info.samples - TOLERANCE_S * info.rate:
        raise truncated(label, counted / info.rate, info.samples / info.rate)
    return (FilePart(_with_total(data[:end], counted) if counted > info.samples else None, counted),)


def _with_total(data: bytes, total: int) -> bytes:
    packed = int.from_bytes(data[18:26], "big") >> TOTAL_BITS << TOTAL_BITS | total
    return data[:18] + packed.to_bytes(8, "big") + data[26:]


def _samples(data: View, info: FlacStream, end: int) -> int:
    """Samples up to the end of the last frame; 0 where no frame is found.

    A candidate header is a real one if its frame ends where STREAMINFO does, or begins where another frame ends.
    """
    last: tuple[int, int] | None = None
    for start, stop in _frames_backwards(data, info, end):
        if stop == info.samples or start == 0:
            return stop if last is None else max(stop, last[1] if last[0] == stop else 0)
        if last is not None and stop == last[0]:
            return last[1]
        last = (start, stop)
    return 0


def _frames_backwards(data: View, info: FlacStream, end: int) -> Iterator[tuple[int, int]]:
    """First and last sample of candidate frames, from the end of the file backwards."""
    stop, tries = end, 0
    while stop > 0 and tries < _TRIES:
        start = max(0, stop - _WINDOW)
        window = data[start : min(stop + FRAME_HEADER_BYTES, end)]
        at = min(len(window), stop - start)
        while (at := window.rfind(b"\xff", 0, at)) >= 0:
            tries += 1
            if found := info.span(window[at : at + FRAME_HEADER_BYTES]):
                yield found
        stop = start
