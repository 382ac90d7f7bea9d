"""Long songs through a network with a fixed segment: cut, batch across songs, cross-fade.

The same arithmetic as demucs.apply.apply_model with `shifts=0, split=True, overlap=0.25` and the normalisation of
demucs.api, except that windows of many songs share a batch, and that the mean of each channel is removed for good:
demucs removes the mean over both channels and adds it to every source, so that four sources hold four times the
offset of the song. For songs without an offset both are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

OVERLAP = 0.25


@dataclass(frozen=True)
class SegmentWindow:
    """Samples `start` to `start + length` of one song, inside a full segment with the samples around them.

    A window shorter than the segment (at the end of a song) is centred in it, with the song's own samples around it
    as far as they exist, and zeros beyond.
    """

    song: int
    start: int
    length: int
    segment: int

    @property
    def left(self) -> int:
        """Samples of the segment before the window."""
        return (self.segment - self.length) // 2

    def cut(self, wave: Float[Tensor, "channels samples"], level: Level) -> Float[Tensor, "channels segment"]:
        """The normalised segment around this window."""
        first = self.start - self.left
        last = first + self.segment
        inside = level.normalise(wave[:, max(0, first) : min(wave.shape[-1], last)])
        return torch.nn.functional.pad(inside, (max(0, -first), max(0, last - wave.shape[-1])))

    def trim(self, output: Float[Tensor, "sources channels segment"]) -> Float[Tensor, "sources channels length"]:
        """The part of a segment's output that belongs to the window."""
        return output[..., self.left : self.left + self.length]


@dataclass(frozen=True)
class Level:
    """A song's offset (the mean of each channel) and the standard deviation of the mean of its channels."""

    offset: Float[Tensor, "channels 1"]
    deviation: float

    @classmethod
    def of(cls, wave: Float[Tensor, "channels samples"]) -> Level:
        """Measure a song. The deviation of a single sample counts as 0."""
        reference = wave.mean(0)
        deviation = reference.std().item() if len(reference) > 1 else 0.0
        return cls(wave.mean(1, keepdim=True), deviation + 1e-8)

    def normalise(self, wave: Float[Tensor, "channels samples"]) -> Float[Tensor, "channels samples"]:
        """Normalise to zero mean and unit deviation."""
        return (wave - self.offset) / self.deviation


def windows(song: int, samples: int, segment: int) -> list[SegmentWindow]:
    """The windows that cover a song, with a hop of three quarters of a segment."""
    starts = range(0, samples, int((1 - OVERLAP) * segment))
    return [SegmentWindow(song, start, min(segment, samples - start), segment) for start in starts]


Batch = Float[Tensor, "batch channels segment"]
Output = Float[Tensor, "batch sources channels segment"]
Start = Callable[[Batch], Callable[[], Output]]
"""Starts to compute a batch; the returned function waits for the output, in float32 on the CPU."""


def run_windows(
    start: Start,
    songs: list[Float[Tensor, "channels _"]],
    levels: list[Level],
    todo: Iterable[SegmentWindow],
    batch: int,
) -> Iterator[Float[Tensor, "sources channels _"]]:
    """The network's output for each window in turn, still normalised, `batch` windows at a time."""

    def begin() -> Iterator[tuple[list[SegmentWindow], Callable[[], Output]]]:
        pending = iter(todo)
        while group := list(islice(pending, batch)):
            yield group, start(torch.stack([w.cut(songs[w.song], levels[w.song]) for w in group]))

    for group, wait in _one_ahead(begin()):
        for window, output in zip(group, wait(), strict=True):
            yield window.trim(output)


T = TypeVar("T")


def _one_ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield each item once the next one was started, so that an accelerator computes while the item is used."""
    held: list[T] = []
    for item in items:
        yield from held
        held = [item]
    yield from held


class CrossFade:
    """Overlap-add of window outputs, weighted by a triangle that peaks in the middle of the segment."""

    def __init__(self, sources: int, channels: int, samples: int, segment: int) -> None:
        self._sum = torch.zeros(sources, channels, samples)
        self._weight = torch.zeros(samples)
        half = segment // 2
        ramp = torch.cat([torch.arange(1, half + 1), torch.arange(segment - half, 0, -1)]).float()
        self._ramp = ramp / ramp.max()

    def add(self, window: SegmentWindow, output: Float[Tensor, "sources channels length"]) -> None:
        """Add one window's output."""
        ramp = self._ramp[: window.length]
        where = slice(window.start, window.start + window.length)
        self._sum[..., where].addcmul_(ramp, output)
        self._weight[where] += ramp

    def finish(self, level: Level) -> Float[Tensor, "sources channels samples"]:
        """The whole song at its original level, without its offset. Works in place, so call it once."""
        return self._sum.div_(self._weight / level.deviation)
