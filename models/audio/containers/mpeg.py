"""MPEG audio: its frames give the length, even where a Xing or VBRI header disagrees.

libsndfile ends an MP3 where its header says so or, without a header, at an estimate from the first frame's bit rate.
Where either differs from the frames in the file, libsndfile gets the same frames behind a corrected header.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.audio.containers.mpeg_frames import Junk, Kind, MpegFrame, frame_at, walk
from models.audio.containers.parts import TOLERANCE_S, FilePart, damaged, truncated
from models.audio.containers.tags import after_leading_tags, before_trailing_tags
from models.errors import StemsError

_XING = (b"Xing", b"Info")
_VBRI_AT = 36
_FRAMES, _BYTES, _CONTENTS, _QUALITY = 1, 2, 4, 8
_LAME_BYTES, _LAME_GAPS = 36, slice(21, 24)
_MOST_BEFORE = 65_536  # bytes to skip in search of the first frame, as mpg123 does
_ROOM = 200  # bytes of a frame that holds a Xing header
_DECODER_DELAY = 529  # samples that mpg123 drops after a header without gaps


@dataclass(frozen=True)
class Contents:
    """A Xing or VBRI header: its counts (0 where it has none), and the LAME tag behind it, if any.

    Args:
        frames: frames of audio.
        size: bytes of the stream.
        lame: the tag's bytes.
    """

    frames: int
    size: int
    lame: bytes

    @property
    def gaps(self) -> int:
        """Samples that the encoder added before and after the sound."""
        if len(self.lame) < _LAME_BYTES or not self.lame[:4].isalnum():
            return 0
        both = int.from_bytes(self.lame[_LAME_GAPS], "big")
        return (both >> 12) + (both & 0xFFF)


@dataclass
class _Stream:
    """Consecutive frames of one kind, with the header in front of them."""

    kind: Kind
    contents: Contents | None
    frames: int = 0
    size: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    sizes: set[int] = field(default_factory=set)

    def add(self, frame: MpegFrame) -> None:
        self.frames += 1
        self.size += frame.end - frame.start
        self.sizes.add(frame.end - frame.start)
        if self.spans and self.spans[-1][1] == frame.start:
            self.spans[-1] = (self.spans[-1][0], frame.end)
        else:
            self.spans.append((frame.start, frame.end))

    @property
    def seconds(self) -> float:
        return self.frames * self.kind.samples / self.kind.rate

    @property
    def samples(self) -> int:
        gaps = self.contents.gaps if self.contents else 0
        return max(0, self.frames * self.kind.samples - gaps)

    @property
    def is_counted(self) -> bool:
        """Whether libsndfile gets the length right: from the header or, with equal frames, from their size."""
        if len(self.spans) > 1:
            return False
        return self.contents.frames == self.frames if self.contents else max(self.sizes) - min(self.sizes) <= 4

    @property
    def is_cut_off(self) -> bool:
        """Whether both counts of the header say so: one alone may be wrong."""
        found = self.contents
        if found is None or (found.frames - self.frames) * self.kind.samples <= TOLERANCE_S * self.kind.rate:
            return False
        mean = self.size / max(1, self.frames)
        return not found.size or (found.size - self.size) / mean * self.kind.samples > TOLERANCE_S * self.kind.rate


def mpeg_parts(data: bytes, label: str) -> tuple[FilePart, ...] | None:
    """The streams of an MPEG audio file, counted; None where it has no frames.

    Raises:
        StemsError: ``truncated``, ``unreadable`` where half a second or more in the middle is not audio,
            ``unsupported`` where its rate or channels change.
    """
    start = after_leading_tags(data)
    end = before_trailing_tags(data, start)
    streams, junk = _streams(data, start, end)
    if not streams or _is_something_else(streams, junk):
        return None
    _check(streams, junk, label)
    [first, *others] = streams
    if not others and not junk and first.is_counted:
        return (FilePart(samples=first.samples),)
    return tuple(_rewritten(data, stream) for stream in streams)


def _streams(data: bytes, start: int, end: int) -> tuple[list[_Stream], list[Junk]]:
    streams: list[_Stream] = []
    junk: list[Junk] = []
    for found in walk(data, start, end):
        if isinstance(found, Junk):
            junk.append(found)
            continue
        contents = _contents(data, found)
        if contents or not streams or streams[-1].kind != found.kind:
            streams.append(_Stream(found.kind, contents))
        if contents is None:
            streams[-1].add(found)
    return [stream for stream in streams if stream.frames], junk


def _is_something_else(streams: list[_Stream], junk: list[Junk]) -> bool:
    """Whether the frames are coincidences: they begin late, or are fewer bytes than the junk between them."""
    begin = streams[0].spans[0][0]
    noise = [each for each in junk if not each.is_zeros]
    before = sum(each.end - each.start for each in noise if each.start < begin)
    return before > _MOST_BEFORE or sum(each.end - each.start for each in noise) > sum(each.size for each in streams)


def _check(streams: list[_Stream], junk: list[Junk], label: str) -> None:
    if cut := next((stream for stream in streams if stream.is_cut_off), None):
        assert cut.contents is not None
        promised = cut.contents.frames * cut.kind.samples / cut.kind.rate
        raise truncated(label, cut.seconds, promised)
    kinds = {(stream.kind.rate, stream.kind.channels) for stream in streams}
    if len(kinds) > 1:
        said = " and ".join(f"{channels} channels at {rate} Hz" for rate, channels in sorted(kinds))
        raise StemsError(f"'{label}' changes in the middle: {said}.", "Export it at one rate.", code="unsupported")
    begin, stop = streams[0].spans[0][0], streams[-1].spans[-1][1]
    lost = sum(each.end - each.start for each in junk if begin < each.start < (stop if each.is_zeros else each.end))
    mean = sum(stream.size for stream in streams) / sum(stream.seconds for stream in streams)
    if lost > TOLERANCE_S * mean:
        raise damaged(label, f"{lost:,} bytes, or {lost / mean:.1f} s, between its frames are not audio")


def _contents(data: bytes, frame: MpegFrame) -> Contents | None:
    """The header in a frame that holds one instead of audio."""
    if frame.kind.layer != 3:
        return None
    at = frame.start + 4 + frame.kind.side
    if data[at : at + 4] in _XING:
        return _xing(data[at : frame.end])
    at = frame.start + _VBRI_AT
    if data[at : at + 4] == b"VBRI":
        return Contents(
            int.from_bytes(data[at + 14 : at + 18], "big"), int.from_bytes(data[at + 10 : at + 14], "big"), b""
        )
    return None


def _xing(tag: bytes) -> Contents:
    flags, at = int.from_bytes(tag[4:8], "big"), 8
    frames = size = 0
    if flags & _FRAMES:
        frames, at = int.from_bytes(tag[at : at + 4], "big"), at + 4
    if flags & _BYTES:
        size, at = int.from_bytes(tag[at : at + 4], "big"), at + 4
    at += 100 * bool(flags & _CONTENTS) + 4 * bool(flags & _QUALITY)
    return Contents(frames, size, tag[at : at + _LAME_BYTES])


def _rewritten(data: bytes, stream: _Stream) -> FilePart:
    """The stream's frames behind a header that counts them."""
    frames = b"".join(data[start:end] for start, end in stream.spans)
    if stream.kind.layer != 3:
        return FilePart(frames, stream.samples)
    gaps = stream.contents.gaps if stream.contents else 0
    return FilePart(
        _counted(frames[:4], stream) + frames, stream.samples if gaps else stream.samples - _DECODER_DELAY
    )


def _counted(header: bytes, stream: _Stream) -> bytes:
    """A frame with a Xing header instead of audio, which keeps the gaps of the stream's own header."""
    starts = (bytes((0xFF, header[1] | 1, index << 4 | header[2] & 0x0C, header[3])) for index in range(1, 15))
    start, size = next((start, frame.end) for start in starts if (frame := frame_at(start, 0)) and frame.end >= _ROOM)
    lame = stream.contents.lame if stream.contents and stream.contents.gaps else b""
    tag = b"Info" + _FRAMES.to_bytes(4, "big") + stream.frames.to_bytes(4, "big") + lame
    return (start + bytes(stream.kind.side) + tag).ljust(size, b"\0")
