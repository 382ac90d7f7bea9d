"""Gather the figures of a run while it goes on."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from pipelines.tokens.run.report import (
    MOST_LOST,
    MOST_PROBLEMS,
    MOST_SLOW,
    STAGES,
    BadFile,
    Histogram,
    PrepareReport,
    SlowSong,
    StageFacts,
)
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED

_LONGEST_TEXT = 500

# By name: unit and edges of the bins; the outermost bins count what lies beyond them.
_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "seconds": ("s", tuple(range(0, 630, 30))),
    "loudness": ("LUFS", tuple(range(-60, 3, 3))),
    "vocal_score": ("", tuple(k / 20 for k in range(21))),
    "silence": ("of the time", tuple(k / 20 for k in range(21))),
    "clipped": ("of the samples", (0, 0.00001, 0.0001, 0.001, 0.01, 0.1, 1)),
    "residual_db": ("dB", tuple(range(-60, 3, 3))),
}


class ReportBuilder:
    """Gathers a run's figures in bounded memory, however many songs there are."""

    def __init__(self) -> None:
        self._stages: dict[str, StageFacts] = {name: StageFacts(name, 0, 0.0, 0.0) for name in STAGES}
        self._slowest: list[tuple[float, int, SlowSong]] = []
        self._order = count()
        self._bins = {name: [0] * (len(edges) - 1) for name, (_, edges) in _HISTOGRAMS.items()}
        self._dropped: Counter[str] = Counter()
        self._problems: list[BadFile] = []
        self._problem_count = 0
        self._gone: Sequence[str] = ()
        self._replaced: Sequence[str] = ()

    def stage(self, name: str, songs: int, audio_seconds: float, busy: float) -> None:
        """Add work of one of :data:`STAGES`: songs, their seconds of audio, and a worker's seconds."""
        was = self._stages[name]
        self._stages[name] = StageFacts(
            name, was.songs + songs, was.audio_seconds + audio_seconds, was.busy_seconds + busy
        )

    def song(self, title: str, uri: str, audio_seconds: float, took: float, by_stage: Mapping[str, float]) -> None:
        """Note the seconds that a song took, in all and by stage; the slowest songs are kept."""
        shares = {stage: seconds / took for stage, seconds in by_stage.items()} if took else {}
        song = SlowSong(_clean(title), _clean(uri), audio_seconds, took, shares)
        # Among equals the first is kept; thanks to the number, songs are never compared.
        heapq.heappush(self._slowest, (took, -next(self._order), song))
        if len(self._slowest) > MOST_SLOW:
            heapq.heappop(self._slowest)

    def value(self, histogram: str, x: float) -> None:
        """Count a song in a histogram: seconds, loudness, vocal_score, silence, clipped or residual_db."""
        bins, (_, edges) = self._bins[histogram], _HISTOGRAMS[histogram]
        if not math.isnan(x):
            bins[min(max(bisect_right(edges, x) - 1, 0), len(bins) - 1)] += 1

    def problem(self, uri: str, reason: str, message: str) -> None:
        """Note a file that was set aside; all are counted, and the first are kept."""
        self._problem_count += 1
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(BadFile(_clean(uri), reason, _clean(message)))

    @property
    def first_fault(self) -> str:
        """What is wrong with the first bad file; empty if there is none."""
        return next((each.message for each in self._problems if each.reason not in (DUPLICATE, REMOVED)), "")

    def lost(self, gone: Sequence[str], replaced: Sequence[str]) -> None:
        """Note files of tokenized songs that the catalog no longer lists, and files that hold another song now."""
        self._gone, self._replaced = gone, replaced

    def dropped(self, rule: str) -> None:
        """Count a song that was dropped for its vocals, by the rule that did."""
        self._dropped[rule] += 1

    def build(self, settings: Mapping[str, str], **counts: Any) -> PrepareReport:
        """The report.

        Args:
            settings: the job's settings.
            counts: the fields of :class:`PrepareReport` that this builder does not gather.
        """
        return PrepareReport(
            stages=tuple(stage for stage in self._stages.values() if stage.songs),
            slowest=tuple(song for _, _, song in sorted(self._slowest, key=lambda each: each[:2], reverse=True)),
            dropped_by=dict(self._dropped),
            histograms={
                name: Histogram(edges, tuple(self._bins[name]), unit)
                for name, (unit, edges) in _HISTOGRAMS.items()
                if any(self._bins[name])
            },
            problems=tuple(self._problems),
            problem_count=self._problem_count,
            gone=tuple(map(_clean, self._gone[:MOST_LOST])),
            gone_count=len(self._gone),
            replaced=tuple(map(_clean, self._replaced[:MOST_LOST])),
            replaced_count=len(self._replaced),
            settings={name: _clean(value) for name, value in settings.items()},
            **counts,
        )


def _clean(text: str) -> str:
    """Text that UTF-8 can hold, cut to a length."""
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    return shown.encode("utf-8", "replace").decode()
