"""A file that is being decoded: its parts, one after the other, each read to its end."""

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
"""What decoders raise at a file that they cannot read."""

_RESERVOIR = 1 << 15
"""Samples before a position of an MP3 whose frames may hold bits of it: 511 bytes of frames as small as they come."""

_PASSED = 1 << 18


class SoundReader(soundfile.SoundFile):
    """A file that libsndfile reads onwards.

    soundfile seeks after each read where it can; decoders then lose their place in lossy and broken files, and
    fail in those that do not say how long they are.
    """

    def seekable(self) -> bool:
        """Never, as far as reading is concerned; ``seek`` works nevertheless where ``can_seek`` says so."""
        return False

    @property
    def can_seek(self) -> bool:
        """Whether its encoding lets positions be sought: GSM 6.10 and a few others do not."""
        return super().seekable()


@dataclass
class Opened:
    """A part that is being read.

    Args:
        reader: its decoder.
        promised: samples that it has to give; 0 for any number.
        slack: by how many it may fail.
        tail: see :class:`~models.audio.containers.parts.FilePart`.
        given: samples that it gave.
    """

    reader: SoundReader | FfmpegReader
    promised: int
    slack: int
    tail: int = 0
    given: int = 0

    @property
    def is_short(self) -> bool:
        """Whether it gave too little."""
        absent = self.reader.others_longer if isinstance(self.reader, FfmpegReader) else 0
        return self.given < self.promised - self.slack - absent


class SoundStream:
    """The audio of a file, read onwards; its parts follow each other.

    Attributes:
        rate: Hz.
        channels: how many.
        format: the container.
        promised: samples in all, by count or by its header; 0 where only decoding tells.
        frames: samples up to which a position can be sought; 0 where none can.
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
        """Let go of the file."""
        for part in self._parts:
            part.reader.close()

    def seek(self, position: int) -> None:
        """Go on from this sample, at most ``frames``.

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
            StemsError: with code ``unreadable``, or ``truncated`` where a part gives less than it has to.
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
    """What a decoder's complaint means to the person who gave the file."""
    reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
    if reason.startswith("File does not exist"):  # what libsndfile says of an MP3 without one whole frame
        reason = "it is cut short"
    return StemsError(
        f"'{label}' cannot be read as audio ({reason}).",
        f"Give a whole file of one of these kinds: {listed_suffixes()}.",
        code="unreadable",
    )


def _read(reader: SoundReader | FfmpegReader, count: int) -> np.ndarray:
    if isinstance(reader, FfmpegReader):
        return reader.read(count)
    block: np.ndarray = reader.read(count, dtype="float32", always_2d=True)
    return block
