"""Decode files whose headers may be wrong: all of their audio, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.containers.ffmpeg import FfmpegReader, ffmpeg_container
from models.audio.containers.file_parts import file_parts
from models.audio.containers.parts import TOLERANCE_S
from models.audio.containers.sound import READ_ERRORS, Opened, SoundReader, SoundStream, unreadable
from models.audio.containers.tags import after_leading_tags
from models.audio.containers.view import FileView, Memory
from models.errors import StemsError

READABLE = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "W64", "RF64", "WAVEX", "MP4", "AAC", "WEBM")
"""Supported containers. libsndfile knows more, and mistakes other files for some of them."""

MIN_RATE, MAX_RATE = 4_000, 768_000
MAX_CHANNELS = 256

# Float files may hold any value; beyond 60 dB above full scale it is not sound in [-1, 1].
_MAX_PEAK = 1000.0

# Values decoded together.
_BLOCK = 2**20

# Values to allocate where a file does not state its length.
_ROOM = 2**28

# Bytes of the smallest Ogg page.
_OGG_PAGE = 27

# libsndfile's length of a FLAC that was written to a pipe.
_UNKNOWN = 2**63 - 1

# Concatenated files: each needs a decoder of its own, of some hundred kilobytes.
_MOST_PARTS = 1000

# Seconds that a decoder may yield less than was counted.
_COUNTED_S = 0.1


@dataclass(frozen=True)
class Bounds:
    """Limits of decoded audio: seconds, and bytes of float32 samples (channels × samples × 4); None is unlimited."""

    seconds: float | None = None
    bytes: int | None = None

    def samples(self, sound: SoundStream) -> int:
        """The largest number of this file's samples within both limits."""
        longest = _UNKNOWN if self.seconds is None else int(self.seconds * sound.rate)
        largest = _UNKNOWN if self.bytes is None else self.bytes // (4 * sound.channels)
        return min(longest, largest, _UNKNOWN)

    def check(self, sound: SoundStream, samples: int, label: str, *, at_least: bool = False) -> None:
        """Refuse a file of ``samples`` samples, or more with ``at_least``: code ``too_long`` or ``too_large``."""
        more = "more than " if at_least else ""
        seconds, megabytes = samples / sound.rate, samples * sound.channels * 4 / 1e6
        if self.seconds is not None and samples > int(self.seconds * sound.rate):
            raise StemsError(
                f"'{label}' lasts {more}{seconds:.0f} s; the limit is {self.seconds:.0f} s.",
                "Cut it, or raise the limit.",
                code="too_long",
            )
        if samples > self.samples(sound):
            raise StemsError(
                f"'{label}' takes {more}{megabytes:.0f} MB decoded, with {sound.channels} channels at "
                f"{sound.rate} Hz; the limit is {(self.bytes or 0) / 1e6:.0f} MB.",
                "Cut it, mix it down to two channels, or raise the limit.",
                code="too_large",
            )


def open_sound(source: str | Path | bytes, label: str) -> SoundStream:
    """Open a file with a plausible header, with all of its audio.

    Raises:
        StemsError: with code ``missing``, ``empty``, ``unreadable``, ``truncated`` or ``unsupported``.
    """
    data = source if isinstance(source, bytes) else Path(source)
    try:
        return _open(data, label)
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{label}'.", "Check the path.", code="missing") from error
    except (*READ_ERRORS, OSError, TypeError) as error:
        raise unreadable(label, error) from error


def open_header(source: str | Path | bytes, label: str) -> SoundStream:
    """Open a file, or its first bytes, by its header, which is not compared with the content.

    Raises the errors of :func:`open_sound`, except ``truncated``.
    """
    data = source if isinstance(source, bytes) else Path(source)
    try:
        _check_size(data, label)
        return _checked([_opened(data, None)], label, seekable=True)
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{label}'.", "Check the path.", code="missing") from error
    except (*READ_ERRORS, OSError, TypeError) as error:
        raise unreadable(label, error) from error


def read_samples(sound: SoundStream, count: int, label: str) -> np.ndarray:
    """The next ``count`` samples, fewer where the file ends: float32 [channels, n].

    Raises:
        StemsError: with code ``unreadable``, ``truncated``, ``empty``, ``not_finite``, ``out_of_range`` or
            ``too_large``.
    """
    promised = min(count, sound.promised or _ROOM // sound.channels)
    try:
        samples = np.empty((sound.channels, promised), np.float32)  # memory is committed only as samples arrive
    except (MemoryError, ValueError) as error:
        raise StemsError(
            f"'{label}' claims to last {promised / sound.rate / 3600:.0f} hours, which does not fit into memory.",
            "Export it again.",
            code="too_large",
        ) from error
    filled = 0
    for block in _blocks(sound, count, label):
        end = filled + len(block)
        if end > samples.shape[1]:
            samples = _longer(samples, min(2 * end, count))
        samples[:, filled:end] = block.T
        filled = end
    if filled == 0:
        raise StemsError(f"'{label}' has no audio.", "Replace it with a complete file.", code="empty")
    return samples[:, :filled]


def _open(source: Path | bytes, label: str) -> SoundStream:
    _check_size(source, label)
    view = source if isinstance(source, bytes) else FileView(source)
    try:
        parts = file_parts(view, label)
    finally:
        if isinstance(view, FileView):
            view.close()
    if len(parts) > _MOST_PARTS:
        raise StemsError(
            f"'{label}' is {len(parts):,} concatenated files; the limit is {_MOST_PARTS:,}.",
            "Split it.",
            code="unsupported",
        )
    opened = [_opened(source if part.data is None else part.data, part.samples, part.tail) for part in parts]
    return _checked(opened, label, seekable=len(parts) == 1)


def _check_size(source: Path | bytes, label: str) -> None:
    if (len(source) if isinstance(source, bytes) else source.stat().st_size) == 0:
        raise StemsError(f"'{label}' is an empty file.", "Replace it with a complete file.", code="empty")
    if isinstance(source, bytes) and _is_endless_search(source):
        raise RuntimeError("it has more page marks than pages")


def _opened(source: Path | bytes, samples: int | None, tail: int = 0) -> Opened:
    """A decoder for a file, and the samples that it must yield: those counted, or else those of its header."""
    head = _head(source)
    reader: SoundReader | FfmpegReader
    if container := ffmpeg_container(head):
        reader = FfmpegReader(source, container)
    else:
        reader = SoundReader(Memory(source) if isinstance(source, bytes) else str(source))
    said = 0 if reader.frames == _UNKNOWN else int(reader.frames)
    slack = TOLERANCE_S if samples is None else _COUNTED_S
    return Opened(reader, said if samples is None else samples, int(slack * reader.samplerate), tail)


def _head(source: Path | bytes) -> bytes:
    """The first bytes after leading tags."""
    if isinstance(source, bytes):
        at = after_leading_tags(source)
        return source[at : at + 16]
    view = FileView(source)
    try:
        at = after_leading_tags(view)
        return view[at : at + 16]
    finally:
        view.close()


def _checked(opened: list[Opened], label: str, *, seekable: bool) -> SoundStream:
    """The parts as one sound, if their headers are plausible."""
    sound = SoundStream(opened, label, seekable=seekable)
    problem = _implausible(sound)
    if not problem and len({(part.reader.samplerate, part.reader.channels) for part in opened}) > 1:
        problem = "changes its rate or its channels in the middle"
    if problem:
        sound.close()
        raise StemsError(f"'{label}' {problem}.", "Convert it to WAV or FLAC.", code="unsupported")
    return sound


def _longer(samples: np.ndarray, count: int) -> np.ndarray:
    longer = np.empty((len(samples), count), np.float32)
    longer[:, : samples.shape[1]] = samples
    return longer


def _is_endless_search(data: bytes) -> bool:
    """Whether an Ogg file has more page marks than pages can have: each costs a checksum of 64 KB."""
    return data[:4] == b"OggS" and data.count(b"OggS") * _OGG_PAGE > len(data)


def _implausible(sound: SoundStream) -> str:
    """Why a header cannot be that of a song; empty for a plausible one."""
    if sound.format not in READABLE:
        return f"is in an unsupported format ({sound.format})"
    if not MIN_RATE <= sound.rate <= MAX_RATE:
        return f"has {sound.rate} samples per second; {MIN_RATE} to {MAX_RATE} are supported"
    if not 1 <= sound.channels <= MAX_CHANNELS:
        return f"has {sound.channels} channels; 1 to {MAX_CHANNELS} are supported"
    return ""


def _blocks(sound: SoundStream, count: int, label: str) -> Iterator[np.ndarray]:
    """``count`` samples in blocks [n, channels], each checked."""
    most = max(1, _BLOCK // sound.channels)
    while count > 0:
        block = sound.read(min(most, count))
        if len(block) == 0:
            return
        _check_values(block, label)
        count -= len(block)
        yield block


def _check_values(block: np.ndarray, label: str) -> None:
    peak = max(block.max(), -block.min())  # NaN if any value is NaN
    if not np.isfinite(peak):
        raise StemsError(f"'{label}' has samples that are not numbers.", "Export it again.", code="not_finite")
    if peak > _MAX_PEAK:
        raise StemsError(
            f"'{label}' has samples of {peak:.0f} times full scale.",
            "Export it again, with floats between -1 and 1.",
            code="out_of_range",
        )
