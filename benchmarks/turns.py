"""Fair timing: two contenders in turns, in one process; ratios are taken turn by turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Work = Callable[[], object]


class Comparison(NamedTuple):
    """Median seconds of each, and the median of the turns' ratios theirs / ours: above 1, ours is faster."""

    ours: float
    theirs: float
    ratio: float


def seconds(work: Work) -> float:
    """How long something takes once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def compare(ours: Work, theirs: Work, turns: int) -> Comparison:
    """Time both by turns, after one of each that does not count."""
    ours()
    theirs()
    taken = [(seconds(ours), seconds(theirs)) for _ in range(turns)]
    mine, peers = zip(*taken, strict=True)
    return Comparison(statistics.median(mine), statistics.median(peers), statistics.median(b / a for a, b in taken))
