"""What a prepare run did: in numbers, as a table for a terminal, as JSON, and as one HTML page."""

from __future__ import annotations

import heapq
import math
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from pydantic import TypeAdapter
from rich.markup import escape
from rich.table import Table

from pipelines.catalog.storage.files import not_written, write_bytes
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED

STAGES = ("inspect", "decode", "listen", "separate", "keep", "encode")
"""In the order in which a song goes through them."""

MOST_SLOW, MOST_PROBLEMS, MOST_LOST = 20, 200, 200
_SHOWN_LOST = 10
_LONGEST_TEXT = 500

# By name: unit and edges of the bins; what lies outside is counted in the outermost ones.
_HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "seconds": ("s", tuple(range(0, 630, 30))),
    "loudness": ("LUFS", tuple(range(-60, 3, 3))),
    "vocal_score": ("", tuple(k / 20 for k in range(21))),
    "silence": ("of the time", tuple(k / 20 for k in range(21))),
    "clipped": ("of the samples", (0, 0.00001, 0.0001, 0.001, 0.01, 0.1, 1)),
    "residual_db": ("dB", tuple(range(-60, 3, 3))),
}


@dataclass(frozen=True)
class StageFacts:
    """One stage: songs and their seconds of audio that went through, and seconds of work summed over workers."""

    name: str
    songs: int
    audio_seconds: float
    busy_seconds: float

    @property
    def speed(self) -> float:
        """Seconds of audio a second of one worker; 0 where no time was measured."""
        return self.audio_seconds / self.busy_seconds if self.busy_seconds else 0.0


@dataclass(frozen=True)
class SlowSong:
    """A song that took long: its length and time in seconds, and each stage's share of that time."""

    title: str
    uri: str
    audio_seconds: float
    took: float
    shares: Mapping[str, float]


@dataclass(frozen=True)
class Problem:
    """A file that is not in the table, and why."""

    uri: str
    reason: str
    message: str


@dataclass(frozen=True)
class Histogram:
    """Songs by a value: ``counts[k]`` lie from ``edges[k]`` to ``edges[k + 1]``, the outermost bins open."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    unit: str


@dataclass(frozen=True)
class PrepareReport:
    """Counts of files, each in exactly one of: already there, tokenized, vocals, duplicates, quarantined, removed.

    Args:
        songs: files in the catalog.
        already_there: known to the table before the run, whatever it said of them, or put there meanwhile by
            another job.
        tokenized: songs added.
        vocals: songs dropped for their singing.
        duplicates: files whose samples another file has too.
        quarantined: files that are no songs, by reason.
        hours: of audio added.
        seconds: the run took.
        versions: of the table after it.
        removed: files of songs that were taken down earlier, passed over.
        retokenized: of ``tokenized``, songs that kept some streams they had.
        words_updated: songs of which rows got another title, caption or tags.
        cleared: rows of the quarantine that went, since their files were replaced or deleted.
        gone: files with songs in the table that the catalog no longer lists; the first :data:`MOST_LOST`.
        gone_count: of all.
        replaced: files that hold another song than the table has of them; the first :data:`MOST_LOST`.
        replaced_count: of all.
        stages: what each stage did.
        slowest: songs, the slowest first.
        dropped_by: songs with vocals by what decided: ``tag:<tag>`` or ``score``.
        histograms: by name of the value.
        problems: the first :data:`MOST_PROBLEMS`.
        problem_count: of all.
        settings: of the run.
        workers: in words.
    """

    songs: int
    already_there: int = 0
    tokenized: int = 0
    vocals: int = 0
    duplicates: int = 0
    quarantined: Mapping[str, int] = field(default_factory=dict)
    hours: float = 0.0
    seconds: float = 0.0
    versions: Mapping[str, int] = field(default_factory=dict)
    removed: int = 0
    retokenized: int = 0
    words_updated: int = 0
    cleared: int = 0
    gone: tuple[str, ...] = ()
    gone_count: int = 0
    replaced: tuple[str, ...] = ()
    replaced_count: int = 0
    stages: tuple[StageFacts, ...] = ()
    slowest: tuple[SlowSong, ...] = ()
    dropped_by: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, Histogram] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    problem_count: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: str = ""

    def counts(self) -> dict[str, int]:
        """The counts under the names that a person reads; those that are seldom other than 0 only where they are."""
        seldom = {
            "taken down earlier": self.removed,
            "with some codes kept": self.retokenized,
            "words updated": self.words_updated,
            "no longer quarantined": self.cleared,
            "files gone": self.gone_count,
            "files replaced": self.replaced_count,
        }
        return {
            "songs in": self.songs,
            "already there": self.already_there,
            "tokenized": self.tokenized,
            "with vocals, dropped": self.vocals,
            "duplicates": self.duplicates,
            "quarantined": sum(self.quarantined.values()),
            **{name: number for name, number in seldom.items() if number},
        }

    def summary(self) -> Table:
        """The report for a terminal."""
        table = Table("prepare", "", title=None)
        table.columns[1].justify = "right"
        below = {"with vocals, dropped": self.dropped_by, "quarantined": self.quarantined}
        named = {"files gone": self.gone, "files replaced": self.replaced}
        for name, number in self.counts().items():
            table.add_row(name, str(number))
            for reason, files in sorted(below.get(name, {}).items()):
                table.add_row(f"  {reason}", str(files), style="dim")
            for file in named.get(name, ())[:_SHOWN_LOST]:
                table.add_row(escape(f"  {file}"), "", style="dim")
            if name in named and number > _SHOWN_LOST:
                table.add_row(f"  and {number - _SHOWN_LOST} more", "", style="dim")
        table.add_row("hours of audio", f"{self.hours:.2f}")
        table.add_row("seconds", f"{self.seconds:.0f}")
        for stage in self.stages:
            table.add_row(f"  {stage.name}, a worker", f"{stage.speed:.1f} × real time", style="dim")
        return table

    def to_json(self) -> str:
        """Every field, under its name; ``TypeAdapter(PrepareReport).validate_json`` reads it."""
        return TypeAdapter(PrepareReport).dump_json(self, indent=1).decode()

    def to_html(self) -> str:
        """One page that needs no other file and runs no script."""
        from pipelines.tokens.run.report_page import page

        return page(self)


class ReportBuilder:
    """Gathers a run's figures in bounded memory, however many songs there are."""

    def __init__(self) -> None:
        self._stages: dict[str, StageFacts] = {name: StageFacts(name, 0, 0.0, 0.0) for name in STAGES}
        self._slowest: list[tuple[float, int, SlowSong]] = []
        self._order = count()
        self._bins = {name: [0] * (len(edges) - 1) for name, (_, edges) in _HISTOGRAMS.items()}
        self._dropped: Counter[str] = Counter()
        self._problems: list[Problem] = []
        self._problem_count = 0
        self._gone: Sequence[str] = ()
        self._replaced: Sequence[str] = ()

    def stage(self, name: str, songs: int, audio_seconds: float, busy: float) -> None:
        """Add work that one of :data:`STAGES` did: songs, their seconds of audio, a worker's seconds."""
        was = self._stages[name]
        self._stages[name] = StageFacts(
            name, was.songs + songs, was.audio_seconds + audio_seconds, was.busy_seconds + busy
        )

    def song(self, title: str, uri: str, audio_seconds: float, took: float, by_stage: Mapping[str, float]) -> None:
        """Note how long a song took, in all and by stage, in seconds; the slowest are kept."""
        shares = {stage: seconds / took for stage, seconds in by_stage.items()} if took else {}
        song = SlowSong(_clean(title), _clean(uri), audio_seconds, took, shares)
        # Of equals the first is kept; the number also spares comparing songs.
        heapq.heappush(self._slowest, (took, -next(self._order), song))
        if len(self._slowest) > MOST_SLOW:
            heapq.heappop(self._slowest)

    def value(self, histogram: str, x: float) -> None:
        """Count a song in a histogram: seconds, loudness, vocal_score, silence, clipped or residual_db."""
        bins, (_, edges) = self._bins[histogram], _HISTOGRAMS[histogram]
        if not math.isnan(x):
            bins[min(max(bisect_right(edges, x) - 1, 0), len(bins) - 1)] += 1

    def problem(self, uri: str, reason: str, message: str) -> None:
        """Note a file that was set aside; all are counted, the first are kept."""
        self._problem_count += 1
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(Problem(_clean(uri), reason, _clean(message)))

    @property
    def first_fault(self) -> str:
        """What is wrong with the first file that is bad; empty where none is."""
        return next((each.message for each in self._problems if each.reason not in (DUPLICATE, REMOVED)), "")

    def lost(self, gone: Sequence[str], replaced: Sequence[str]) -> None:
        """Note the files with songs in the table that are not listed any more, and those that hold another song."""
        self._gone, self._replaced = gone, replaced

    def dropped(self, rule: str) -> None:
        """Count a song dropped for its singing, by what decided."""
        self._dropped[rule] += 1

    def build(self, settings: Mapping[str, str], **counts: Any) -> PrepareReport:
        """The report.

        Args:
            settings: of the run.
            counts: those fields of :class:`PrepareReport` that are not gathered here.
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


def new_name() -> str:
    """A name for the files of one run: ``<UTC time>-<6 hex digits>``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def save(report: PrepareReport, folder: str, name: str) -> tuple[str, str]:
    """Write ``<folder>/<name>.json`` and ``.html``, local or ``s3://``; return both addresses.

    Raises:
        StemsError: with code ``storage``, naming the folder.
    """
    name = f"{folder.rstrip('/')}/{name}"
    data, page = f"{name}.json", f"{name}.html"
    try:
        write_bytes(data, report.to_json().encode())
        write_bytes(page, report.to_html().encode())
    except Exception as error:
        raise not_written(folder, error, "report") from error
    return data, page


def _clean(text: str) -> str:
    """Text as UTF-8 can hold it, cut where it has no end."""
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
    return shown.encode("utf-8", "replace").decode()
