"""The frames of MPEG audio (layers I to III), found by walking from header to header (ISO 11172-3, 13818-3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from models.audio.containers.tags import tag_size

_KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates of version 1, and of versions 2 and 2.5; by layer and index, from 1."""

_RATES = (44_100, 48_000, 32_000)
_VERSION_BITS = {3: 1, 2: 2, 0: 4}  # divisors of the rate
_MONO = 3

_TRIES = 10_000
"""Tags and false headers after which a file counts as not MPEG audio."""

_ID3V1 = 128


@dataclass(frozen=True, slots=True)
class Kind:
    """Properties that all frames share: layer, rate in Hz, channels, and samples per frame."""

    layer: int
    rate: int
    channels: int
    samples: int

    @property
    def side(self) -> int:
        """Bytes between a layer III frame's header and its data, where a Xing header stands."""
        return {(1152, 2): 32, (1152, 1): 17, (576, 2): 17, (576, 1): 9}.get((self.samples, self.channels), 32)


@dataclass(frozen=True, slots=True)
class MpegFrame:
    """A frame: its start and end offsets, and its kind."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Junk:
    """Bytes that are neither frames nor tags: their start and end offsets, and whether all are zeros."""

    start: int
    end: int
    is_zeros: bool = False


def _headers() -> dict[int, tuple[int, Kind, Kind]]:
    """Size of a frame, and its kind in stereo and in mono, by the second and third byte of its header."""
    table = {}
    for version, layer, rate, index, padding in product(_VERSION_BITS, (1, 2, 3), range(3), range(1, 15), (0, 1)):
        divisor = _VERSION_BITS[version]
        hertz, bits = _RATES[rate] // divisor, 1000 * _KILOBITS[min(divisor, 2), layer][index - 1]
        samples = {1: 384, 2: 1152, 3: 1152 if divisor == 1 else 576}[layer]
        size = (12 * bits // hertz + padding) * 4 if layer == 1 else samples // 8 * bits // hertz + padding
        kinds = Kind(layer, hertz, 2, samples), Kind(layer, hertz, 1, samples)
        for protected, private in product((0, 1), (0, 1)):
            second = 0xE0 | version << 3 | (4 - layer) << 1 | protected
            table[second << 8 | index << 4 | rate << 2 | padding << 1 | private] = (size, *kinds)
    return table


_HEADERS = _headers()
_SYNC = re.compile(rb"\xff[\xe2-\xe7\xf2-\xff][\x10-\xeb]")


def frame_at(data: bytes, at: int) -> MpegFrame | None:
    """The frame whose header is here, complete or not."""
    if at + 4 > len(data) or data[at] != 0xFF:
        return None
    found = _HEADERS.get(data[at + 1] << 8 | data[at + 2])
    if found is None:
        return None
    size, stereo, mono = found
    return MpegFrame(at, at + size, mono if data[at + 3] >> 6 == _MONO else stereo)


def walk(data: bytes, start: int, end: int) -> Iterator[MpegFrame | Junk]:
    """Whole frames from ``start`` to ``end``, and junk between them that is neither a frame nor a tag.

    A frame of another kind than the one before it counts only if one of its own kind follows. The iterator ends early
    in a file with thousands of false headers.
    """
    at, kind, tries = start, None, 0
    while at < end:
        frame = frame_at(data, at)
        if frame is not None and frame.end <= end and (frame.kind == kind or _leads_on(data, frame, end)):
            kind, at = frame.kind, frame.end
            yield frame
            continue
        if after := _after_tag(data, at, end):
            if data[at] == 0:
                yield Junk(at, after, is_zeros=True)
            at, tries = after, tries + 1
            if tries > _TRIES:
                return
            continue
        found, tried = _resync(data, at + 1, end)
        tries += tried
        yield Junk(at, found)
        at = found
        if tries > _TRIES:
            return


def _leads_on(data: bytes, frame: MpegFrame, end: int) -> bool:
    """Whether a frame of the same kind, the end, or a tag follows."""
    if frame.end == end:
        return True
    following = frame_at(data, frame.end)
    return (following is not None and following.kind == frame.kind) or bool(_after_tag(data, frame.end, end))


def _after_tag(data: bytes, at: int, end: int) -> int:
    """The end of the tag or zeros that begin here; 0 if there are none."""
    if data[at : at + 3] == b"TAG" and at + _ID3V1 <= end:
        return at + _ID3V1
    if size := tag_size(data, at):
        return min(at + size, end)
    if data[at] == 0:
        return _after_zeros(data, at, end)
    return 0


def _after_zeros(data: bytes, at: int, end: int) -> int:
    step = 4096
    while at < end and not any(data[at : min(at + step, end)]):
        at += step
    at = min(at, end)
    while at < end and data[at] == 0:
        at += 1
    return at


def _resync(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The next offset with two consecutive frames, or the end; and the number of false headers on the way."""
    tries = 0
    for match in _SYNC.finditer(data, at, end):
        tries += 1
        frame = frame_at(data, match.start())
        if frame is not None and frame.end <= end and _leads_on(data, frame, end):
            return frame.start, tries
        if tries > _TRIES:
            break
    return end, tries
