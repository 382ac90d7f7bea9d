"""Containers of chunks with sizes: WAV, RF64, Wave64, AIFF, CAF and AU. Their sizes are compared with the file.

Programs that write to a pipe, or that were stopped, leave a size of 0, the largest number, or an outdated size. The
audio then extends to the end of the file, and libsndfile gets a copy of the file with the corrected size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from models.audio.containers.tags import before_trailing_tags, tag_size
from models.audio.containers.view import View

_ANY_SIZE = 0x7FFF_0000
"""32-bit sizes from here on are placeholders of programs that did not know the size."""

_ANY_LONG = 1 << 62
_SLACK = 8  # bytes of padding that only some programs count

_MOST_CHUNKS = 10_000
_TAIL, _CANDIDATES = 4_000_000, 20  # bytes to search for chunks at the end; candidate names to try
_BEHIND = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|cue |smpl|fact|JUNK|PAD |FLLR|_PMX|acid|inst|PEAK"
    rb"|NAME|AUTH|ANNO|COMT|MARK|INST|APPL|CHAN"
)
_SHOWN = 65_536


@dataclass(frozen=True)
class Layout:
    """How a container writes its chunks.

    Args:
        first: where the first chunk begins.
        name: bytes of a chunk's name.
        size: bytes of its size.
        order: byte order of the size.
        align: chunks begin at multiples of it.
        whole: whether a size includes the chunk's own header.
        audio: name of the chunk that holds the audio.
        total: offset of the size of the whole file; -1 if there is none.
        apart: bytes of the file that this size excludes.
    """

    first: int
    name: int
    size: int
    order: Literal["little", "big"]
    align: int
    whole: bool
    audio: bytes
    total: int
    apart: int


_WAV = Layout(12, 4, 4, "little", 2, False, b"data", 4, 8)
_AIFF = Layout(12, 4, 4, "big", 2, False, b"SSND", 4, 8)
_CAF = Layout(8, 4, 8, "big", 1, False, b"data", -1, 0)
_W64 = Layout(40, 16, 8, "little", 8, True, b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a", 16, 0)


@dataclass(frozen=True)
class Field:
    """A number in a file: its offset, its bytes, their order, and the constant added when it is written."""

    at: int
    bytes: int
    order: Literal["little", "big"]
    extra: int = 0

    def read(self, data: View) -> int:
        """The number, less ``extra``."""
        return int.from_bytes(data[self.at : self.at + self.bytes], self.order) - self.extra

    def write(self, data: bytearray, value: int) -> None:
        """Put the number there, or the largest one that has room."""
        most = (1 << 8 * self.bytes) - 1
        data[self.at : self.at + self.bytes] = min(value + self.extra, most).to_bytes(self.bytes, self.order)


@dataclass(frozen=True)
class AudioChunk:
    """Where a file's audio lies, according to its sizes.

    Args:
        start: offset of the audio.
        size: bytes of audio; None where the file does not state them.
        field: the field that states the size.
        total: the field that states the size of the whole file; None if there is none.
        says_end: whether the size of the whole leads to the end of the file.
        describes_rest: whether only chunks, tags or padding follow the audio.
        layout: the container's chunk layout; None for containers without chunks.
        needs_rest: whether a chunk behind the audio defines its encoding.
    """

    start: int
    size: int | None
    field: Field
    total: Field | None
    says_end: bool
    describes_rest: bool
    layout: Layout | None = None
    needs_rest: bool = False

    def rest(self, data: View) -> int:
        """Bytes from the beginning of the audio to the end of the file, to trailing tags, or (where the file does not
        state the size of its audio) to trailing chunks.
        """
        end = before_trailing_tags(data, self.start)
        if self.size is None and self.layout is not None:
            end = min(end, _first_chunk_behind(data, self.start, self.layout))
        return end - self.start

    def with_size(self, data: View, size: int) -> bytes:
        """The file with audio of this size at its end."""
        out = bytearray(data[: self.start + size])
        self.field.write(out, size)
        if self.total is not None:
            self.total.write(out, len(out))
        return bytes(out)


def audio_chunk(data: View) -> AudioChunk | None:
    """Find the audio of a file of chunks; None for other files, and if there is no audio chunk."""
    head = data[:32]
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return _in_chunks(data, _WAV)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _in_chunks(data, _AIFF)
    if head[:4] == b"caff":
        return _in_chunks(data, _CAF)
    if head[:4] == b"riff":
        return _in_chunks(data, _W64)
    return _au(data) if head[:4] == b".snd" else None


def _au(data: View) -> AudioChunk | None:
    start = int.from_bytes(data[4:8], "big")
    field = Field(8, 4, "big")
    size = field.read(data)
    if not 24 <= start <= len(data):
        return None
    known = None if size == 0 or size >= _ANY_SIZE else size
    return AudioChunk(start, known, field, None, False, known is not None and _is_padding(data, start + known))


def _in_chunks(data: View, layout: Layout) -> AudioChunk | None:
    large, is_described = None, layout is not _AIFF
    for name, start, field in _chunks(data, layout):
        if name == b"ds64":
            large = start
        is_described |= name == b"COMM"
        if name != layout.audio:
            continue
        if large is not None:
            field = Field(large + 8, 8, "little")
        size, rest = field.read(data), len(data) - start
        stop = start + max(0, size)  # some programs omit the padding behind it
        behind = size <= rest and any(_are_chunks(data, at, layout) for at in {_aligned(stop, layout), stop})
        is_known = size < (_ANY_SIZE if field.bytes == 4 else _ANY_LONG) and (size > 0 or (size == 0 and behind))
        total = _total(layout, large)
        says_end = total is not None and abs(total.read(data) - len(data)) <= _SLACK
        known = size if is_known or size == rest else None
        return AudioChunk(start, known, field, total, says_end, behind, layout, not is_described)
    return None


def _total(layout: Layout, large: int | None) -> Field | None:
    if large is not None:
        return Field(large, 8, "little", -layout.apart)
    return None if layout.total < 0 else Field(layout.total, layout.size, layout.order, -layout.apart)


def _chunks(data: View, layout: Layout) -> Iterator[tuple[bytes, int, Field]]:
    """Name, beginning of the body, and size field of each chunk, up to the audio."""
    at, header = layout.first, layout.name + layout.size
    for _ in range(_MOST_CHUNKS):
        name = data[at : at + layout.name]
        field = Field(at + layout.name, layout.size, layout.order, header if layout.whole else 0)
        if at + header > len(data):
            return
        yield name, at + header, field
        size = field.read(data)
        if size < 0:
            return
        at = _aligned(at + header + size, layout)


def _aligned(at: int, layout: Layout) -> int:
    return -(-at // layout.align) * layout.align


def _are_chunks(data: View, at: int, layout: Layout) -> bool:
    """Whether only padding or tags follow here, possibly after whole chunks; also true at the end of the file."""
    header = layout.name + layout.size
    for _ in range(_MOST_CHUNKS):
        if _is_padding(data, at):
            return True
        name = data[at : at + layout.name]
        size = Field(at + layout.name, layout.size, layout.order, header if layout.whole else 0).read(data)
        if not _is_name(name) or not 0 <= size <= len(data) - at - header:
            return False
        at = _aligned(at + header + size, layout)
    return False


def _first_chunk_behind(data: View, start: int, layout: Layout) -> int:
    """The offset of known trailing chunks that lead exactly to the end of the file."""
    begin = max(start, len(data) - _TAIL)
    for found in islice(_BEHIND.finditer(data[begin:]), _CANDIDATES):
        at = begin + found.start()
        if at == _aligned(at, layout) and _are_chunks(data, at, layout):
            return at
    return len(data)


def _is_name(name: bytes) -> bool:
    return all(0x20 <= byte < 0x7F for byte in name[:4]) and len(name) >= 4


def _is_padding(data: View, at: int) -> bool:
    """Whether the rest of the file is tags, zeros, or shorter than a chunk."""
    end = before_trailing_tags(data, min(at, len(data)))
    while (size := tag_size(data, at)) and at + size <= end:
        at += size
    if end - at < 8:
        return True
    return not any(any(data[start : min(start + _SHOWN, end)]) for start in range(at, end, _SHOWN))
