"""A file while it is decoded: its parts in turn, each read to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from models.audio.containers.ffmpeg import FfmpegReader
from models.audio.containers.parts import truncated
from models.audio.formats import listed_suffixes
from models.errors import StemsError

READ_ERRORS = (soundfile.SoundFileError, RuntimeError)
"""Errors that decoders raise for a file that they cannot read."""

_RESERVOIR = 1 << 15
"""Samples before an MP3 position whose frames may hold bits of it: 511 bytes of the smallest frames."""

_PASSED = 1 << 18


class SoundReader(soundfile.SoundFile):
    """A file that libsndfile reads forwards.

    soundfile seeks after each read where it can; decoders then lose their place in lossy and broken files, and fail
    in files without a stated length.
    """

    def seekable(self) -> bool:
        """Always false, so that soundfile does not seek on reads; ``seek`` still works where ``can_seek`` is true."""
        return False

    @property
    def can_seek(self) -> bool:
        """Whether the encoding allows seeking: GSM 6.10 and a few others do not."""
        return super().seekable()


@dataclass
class Opened:
    """An open part.

    Args:
        reader: its decoder.
        promised: samples that it must yield; 0 for any number.
        slack: samples that may be missing from these.
        tail: see :class:`~models.audio.containers.parts.FilePart`.
        given: samples read so far.
    """

    reader: SoundReader | FfmpegReader
    promised: int
    slack: int
    tail: int = 0
    given: int = 0

    @property
    def is_short(self) -> bool:
        """Whether it yielded too few samples."""
        absent = self.reader.others_longer if isinstance(self.reader, FfmpegReader) else 0
        return self.given < self.promised - self.slack - absent


class SoundStream:
    """The audio of a file, read forwards, part after part.

    Attributes:
        rate: Hz.
        channels: number of channels.
        format: the container.
        promised: samples in all, counted or by the header; 0 where only decoding shows the number.
        frames: highest sample that can be sought; 0 if seeking is impossible.
    """

    def __init__(self, opened: Sequence[Opened], label: str, *, seekable: bool) -> None:
        first = opened[0].reader
        self.rate, self.channels, self.format = int(first.samplerate), int(first.channels), str(first.format)
        self.promised = sum(part.promised for part in opened) if all(part.promised for part in opened) else 0
        can_seek = seekable and isinstance(first, SoundReader) and first.can_seek
        self.frames = min(self.promised, first.frames) if can_seek else 0
        self._parts, self._label, self._at = list(opened), label, 0

    def __enter__(self) -> SoundStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for part in self._parts:
            part.reader.close()

    def seek(self, position: int) -> None:
        """Continue from this sample, at most ``frames``.

        Raises:
            StemsError: with code ``unreadable``.
        """
        [part] = self._parts
        assert isinstance(part.reader, SoundReader)
        start = max(0, position - (_RESERVOIR if self.format == "MP3" else 0))
        if part.tail:
            start = max(0, min(start, part.reader.frames - part.tail - 1))
        try:
            part.reader.seek(start)
            while start < position and (passed := len(_read(part.reader, min(_PASSED, position - start)))):
                start += passed
        except READ_ERRORS as error:
            raise unreadable(self._label, error) from error
        part.given = position

    def read(self, count: int) -> np.ndarray:
        """The next samples, float32 [n, channels]: at most ``count``, and none at the end.

        Raises:
            StemsError: with code ``unreadable``, or ``truncated`` where a part yields less than it must.
        """
        while self._at < len(self._parts):
            part = self._parts[self._at]
            try:
                block = _read(part.reader, count)
            except READ_ERRORS as error:
                raise unreadable(self._label, error) from error
            if len(block):
                part.given += len(block)
                return block
            if part.is_short:
                given = sum(part.given for part in self._parts)
                raise truncated(self._label, given / self.rate, (given - part.given + part.promised) / self.rate)
            self._at += 1
        return np.zeros((0, self.channels), np.float32)


def unreadable(label: str, error: Exception) -> StemsError:
    """The error for a file that a decoder refuses, in the user's terms."""
    reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
    if reason.startswith("File does not exist"):  # libsndfile's message for an MP3 without a whole frame
        reason = "it is cut short"
    return StemsError(
        f"'{label}' cannot be read as audio ({reason}).",
        f"Give a complete file in one of these formats: {listed_suffixes()}.",
        code="unreadable",
    )


def _read(reader: SoundReader | FfmpegReader, count: int) -> np.ndarray:
    if isinstance(reader, FfmpegReader):
        return reader.read(count)
    block: np.ndarray = reader.read(count, dtype="float32", always_2d=True)
    return block
