"""A cheap test for vocals: separate a few stretches of a song first; if they are sung, the song is.

A stretch yields exactly the blocks of the separated song, and a score can only grow with more blocks. So a song that
is dropped for its probe's score would be dropped in any case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from models.separation.overlap_add import OVERLAP, SegmentWindow
from models.separation.vocals import Energies

STRETCHES = 4
"""Stretches per song, each the loudest of its quarter."""

STRETCH_SECONDS = 9.0
"""Minimum length of a completely separated stretch, in seconds: two windows of the released separators."""


@dataclass(frozen=True)
class Probe:
    """Result of probing a song: a lower bound of its vocal score, and outputs to reuse when separating it.

    Attributes:
        score: at most the vocal score of the whole song.
        heard: the network's outputs for some of the song's windows, by the window's first sample.
    """

    score: float
    heard: Mapping[int, Float[Tensor, "sources channels _"]]


@dataclass(frozen=True)
class Stretch:
    """Neighbouring windows of a song, and its blocks that no other window contributes to.

    Attributes:
        windows: the windows, in order.
        blocks: indices of the blocks in the song.
    """

    windows: Sequence[SegmentWindow]
    blocks: range


def stretches(plan: Sequence[SegmentWindow], energies: Energies, block: int, rate: int) -> list[Stretch]:
    """The stretches of a song to probe, in order; adjacent ones are merged.

    Args:
        plan: all windows of the song, in order.
        energies: energies of the song's blocks, which select the loudest stretches.
        block: samples per block.
        rate: samples per second.
    """
    segment = plan[0].segment / rate
    each = min(len(plan), math.ceil((STRETCH_SECONDS / segment + OVERLAP) / (1 - OVERLAP)))
    parts = min(STRETCHES, len(plan) // each)
    edges = [part * len(plan) // parts for part in range(parts + 1)]
    before = np.concatenate([[0.0], np.cumsum(energies)])

    def energy(first: int) -> float:
        blocks = _complete(plan, first, first + each, block)
        return float(before[blocks.stop] - before[blocks.start])

    firsts = [max(range(edges[k], edges[k + 1] - each + 1), key=energy) for k in range(parts)]
    return [Stretch(plan[a:b], _complete(plan, a, b, block)) for a, b in _joined(firsts, each)]


def _complete(plan: Sequence[SegmentWindow], first: int, last: int, block: int) -> range:
    """The blocks of a song that the windows from `first` up to `last` separate completely."""
    begin = plan[first - 1].start + plan[first - 1].length if first else 0
    samples = plan[-1].start + plan[-1].length
    stop = plan[last].start // block if last < len(plan) else math.ceil(samples / block)
    return range(min(math.ceil(begin / block), stop), stop)


def _joined(firsts: Sequence[int], each: int) -> list[tuple[int, int]]:
    """Runs of `each` items from these indices; adjacent runs are merged."""
    runs: list[tuple[int, int]] = []
    for first in firsts:
        if runs and runs[-1][1] == first:
            runs[-1] = (runs[-1][0], first + each)
        else:
            runs.append((first, first + each))
    return runs
