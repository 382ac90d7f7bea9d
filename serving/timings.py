"""Where the time of a job goes: seconds by stage, measured where each stage runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, get_args

Stage = Literal["waiting", "separating", "encoding", "prefill", "decoding", "codec", "storing", "lost"]

STAGES: tuple[Stage, ...] = get_args(Stage)
"""In the order in which a job passes them; ``lost`` is the time of attempts that came to nothing."""

Seconds = dict[Stage, float]
"""Seconds by stage. A stage that did not happen, or was not measured, is absent."""


class StageClock:
    """Adds up the seconds that one request spends in each stage. Only one thread at a time may use it.

    Args:
        now: seconds since 1970, for the place of a stage in a trace.
        timer: seconds since any moment, for its length.
    """

    def __init__(self, now: Callable[[], float] = time.time, timer: Callable[[], float] = time.perf_counter) -> None:
        self._now, self._timer = now, timer
        self.seconds: Seconds = {}
        self.extents: dict[Stage, tuple[float, float]] = {}
        """From the first beginning to the last end of each stage, in seconds since 1970."""

    def add(self, stage: Stage, seconds: float) -> None:
        """Add a stretch of a stage that ends now."""
        now = self._now()
        first, _ = self.extents.get(stage, (now - seconds, now))
        self.extents[stage] = first, now
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the time that the block takes, however it ends."""
        began = self._timer()
        try:
            yield
        finally:
            self.add(stage, self._timer() - began)


def total(*parts: Mapping[Stage, float]) -> Seconds:
    """The sum of several timings, stage by stage."""
    sums: Seconds = {}
    for stage in STAGES:
        if measured := [part[stage] for part in parts if stage in part]:
            sums[stage] = sum(measured)
    return sums
