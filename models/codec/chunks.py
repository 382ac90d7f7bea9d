"""Cutting a song into chunks with context, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Chunk:
    """Frames ``start`` to ``stop`` of a song, computed from frames ``left`` to ``right``."""

    left: int
    start: int
    stop: int
    right: int

    @property
    def kept(self) -> slice:
        """The part to keep of what was computed from ``left`` to ``right``."""
        return slice(self.start - self.left, self.stop - self.left)


def chunks(frames: int, length: int, before: int, after: int) -> Iterator[Chunk]:
    """Chunks of ``length`` frames that cover a song, each with up to ``before`` and ``after`` frames of context."""
    for start in range(0, frames, length):
        stop = min(start + length, frames)
        yield Chunk(max(0, start - before), start, stop, min(frames, stop + after))
