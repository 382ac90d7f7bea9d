"""Random draws as a pure function of seed, step and index.

There is no generator state, so a resumed run draws the same as an uninterrupted one, and the number of workers may
change: worker ``rank`` then takes other indices of the same step.
"""

from __future__ import annotations

import itertools

import numpy as np


def rng(seed: int, step: int, index: int) -> np.random.Generator:
    """The random generator of item ``index`` of global step ``step``."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, step, index))))


def parts(indices: range, count: int) -> list[range]:
    """Split indices into ``count`` runs of nearly equal length, the longer ones first."""
    size, longer = divmod(len(indices), count)
    starts = [number * size + min(number, longer) for number in range(count + 1)]
    return [indices[start:stop] for start, stop in itertools.pairwise(starts)]


def share(batch: int, rank: int, world: int) -> range:
    """The indices of a global batch that worker ``rank`` of ``world`` takes."""
    return range(rank, batch, world)
