"""Decode files that may lie: what is read stays within limits, whatever a header says."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from models.errors import StemsError

READABLE = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "W64", "RF64", "WAVEX")
"""Containers that are taken. libsndfile knows more, and mistakes other files for some of them."""

MIN_RATE, MAX_RATE = 4_000, 768_000
MAX_CHANNELS = 256

# Float files hold what they like; 60 dB above full scale it is no longer sound in [-1, 1].
_MAX_PEAK = 1000.0

# Values decoded at once.
_BLOCK = 2**20

# Values to make room for where a file does not say how many it holds.
_ROOM = 2**28

# Bytes of the smallest Ogg page.
_OGG_PAGE = 27

# What libsndfile says of a FLAC that was written to a pipe.
_UNKNOWN = 2**63 - 1


class SoundReader(soundfile.SoundFile):
    """A file that is read onwards.

    soundfile seeks after each read where it can; decoders then lose their place in lossy and broken files, and
    fail in those that do not say how long they are.
    """

    def seekable(self) -> bool:
        """Never, as far as reading is concerned; ``seek`` works nevertheless."""
        return False

    @property
    def promised(self) -> int:
        """Samples that the header promises; 0 where it does not say."""
        return 0 if self.frames == _UNKNOWN else self.frames


@dataclass(frozen=True)
class Bounds:
    """What a file may decode to: seconds, and bytes of float32 samples (channels × samples × 4); None is any."""

    seconds: float | None = None
    bytes: int | None = None

    def samples(self, file: SoundReader) -> int:
        """The most samples of this file that are within both."""
        longest = _UNKNOWN if self.seconds is None else int(self.seconds * file.samplerate)
        largest = _UNKNOWN if self.bytes is None else self.bytes // (4 * file.channels)
        return min(longest, largest, _UNKNOWN)

    def check(self, file: SoundReader, samples: int, label: str, *, at_least: bool = False) -> None:
        """Refuse a file of ``samples`` samples, or more with ``at_least``: code ``too_long`` or ``too_large``."""
        more = "more than " if at_least else ""
        seconds, megabytes = samples / file.samplerate, samples * file.channels * 4 / 1e6
        if self.seconds is not None and samples > int(self.seconds * file.samplerate):
            raise StemsError(
                f"'{label}' lasts {more}{seconds:.0f} s; at most {self.seconds:.0f} s is taken.",
                "Cut it, or raise the limit.",
                code="too_long",
            )
        if samples > self.samples(file):
            raise StemsError(
                f"'{label}' takes {more}{megabytes:.0f} MB decoded, with {file.channels} channels at "
                f"{file.samplerate} Hz; at most {(self.bytes or 0) / 1e6:.0f} are taken.",
                "Cut it, mix it down to two channels, or raise the limit.",
                code="too_large",
            )


class _Memory(io.BytesIO):
    """Bytes as a file. A lying header sends the decoder to impossible places: it stays where it is."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


def open_sound(source: str | Path | bytes, label: str) -> SoundReader:
    """Open a file whose header makes sense.

    Raises:
        StemsError: with code ``missing``, ``empty``, ``unreadable`` or ``unsupported``.
    """
    try:
        empty = len(source) == 0 if isinstance(source, bytes) else Path(source).stat().st_size == 0
        if empty:
            raise StemsError(f"'{label}' is an empty file.", "Replace it by a complete file.", code="empty")
        if isinstance(source, bytes) and _is_endless_search(source):
            raise RuntimeError("it has more page marks than pages")
        file = SoundReader(_Memory(source) if isinstance(source, bytes) else str(source))
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{label}'.", "Check the path.", code="missing") from error
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:
        raise unreadable(label, error) from error
    problem = _implausible(file)
    if problem:
        file.close()
        raise StemsError(f"'{label}' {problem}.", "Convert it to WAV or FLAC.", code="unsupported")
    return file


def read_samples(file: SoundReader, count: int, label: str) -> np.ndarray:
    """The next ``count`` samples, fewer where the file ends: float32 [channels, n].

    Raises:
        StemsError: with code ``unreadable``, ``empty``, ``not_finite``, ``out_of_range`` or ``too_large``.
    """
    promised = min(count, file.promised or _ROOM // file.channels)
    try:
        samples = np.empty((file.channels, promised), np.float32)  # memory is taken only as samples come
    except (MemoryError, ValueError) as error:
        raise StemsError(
            f"'{label}' claims to last {promised / file.samplerate / 3600:.0f} hours, which do not fit into memory.",
            "Export it again.",
            code="too_large",
        ) from error
    filled = 0
    for block in _blocks(file, count, label):
        end = filled + len(block)
        if end > samples.shape[1]:
            samples = _longer(samples, min(2 * end, count))
        samples[:, filled:end] = block.T
        filled = end
    if filled == 0:
        raise StemsError(f"'{label}' holds no audio.", "Replace it by a complete file.", code="empty")
    return samples[:, :filled]


def _longer(samples: np.ndarray, count: int) -> np.ndarray:
    longer = np.empty((len(samples), count), np.float32)
    longer[:, : samples.shape[1]] = samples
    return longer


def unreadable(label: str, error: Exception) -> StemsError:
    """What a decoder's complaint means to whoever gave the file."""
    reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
    if reason.startswith("File does not exist"):  # what libsndfile says of an MP3 without one whole frame
        reason = "it is cut short"
    return StemsError(
        f"'{label}' cannot be read as audio ({reason}).",
        "Give a whole file in one of these formats: wav, flac, ogg, mp3.",
        code="unreadable",
    )


def _is_endless_search(data: bytes) -> bool:
    """An Ogg file in which marks follow each other more closely than pages can: each costs a checksum of 64 KB."""
    return data[:4] == b"OggS" and data.count(b"OggS") * _OGG_PAGE > len(data)


def _implausible(file: SoundReader) -> str:
    """What no song's header says; empty for a song's."""
    if file.format not in READABLE:
        return f"is in a format that is not taken ({file.format})"
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        return f"has {file.samplerate} samples a second; {MIN_RATE} to {MAX_RATE} are taken"
    if file.channels > MAX_CHANNELS:
        return f"has {file.channels} channels; at most {MAX_CHANNELS} are taken"
    return ""


def _blocks(file: SoundReader, count: int, label: str) -> Iterator[np.ndarray]:
    """``count`` samples in blocks [n, channels], each checked."""
    most = max(1, _BLOCK // file.channels)
    while count > 0:
        try:
            block = file.read(min(most, count), dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise unreadable(label, error) from error
        if len(block) == 0:
            return
        _check_values(block, label)
        count -= len(block)
        yield block


def _check_values(block: np.ndarray, label: str) -> None:
    peak = max(block.max(), -block.min())  # NaN where there is one
    if not np.isfinite(peak):
        raise StemsError(f"'{label}' has samples that are not numbers.", "Export it again.", code="not_finite")
    if peak > _MAX_PEAK:
        raise StemsError(
            f"'{label}' has samples of {peak:.0f} times full scale.",
            "Export it again, with floats between -1 and 1.",
            code="out_of_range",
        )
