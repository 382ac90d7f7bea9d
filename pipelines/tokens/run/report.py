"""What a prepare run did, in numbers: as a table for a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter
from rich.markup import escape
from rich.table import Table

STAGES = ("inspect", "decode", "listen", "separate", "keep", "encode")
"""In the order in which a song passes them."""

MOST_SLOW, MOST_PROBLEMS, MOST_LOST = 20, 200, 200
_SHOWN_LOST = 10


@dataclass(frozen=True)
class StageFacts:
    """One stage: songs that passed it, their seconds of audio, and seconds of work summed over workers."""

    name: str
    songs: int
    audio_seconds: float
    busy_seconds: float

    @property
    def speed(self) -> float:
        """Seconds of audio per second of one worker; 0 if no time was measured."""
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
class BadFile:
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
        already_there: files that the table had before the run, in any of its tables, or that another job added
            meanwhile.
        tokenized: songs added.
        vocals: songs dropped for their vocals.
        duplicates: files with the same samples as another file.
        quarantined: files that are not usable songs, by reason.
        hours: hours of audio added.
        seconds: time that the run took.
        versions: versions of the tables after the run.
        removed: files of songs that were taken down earlier.
        retokenized: songs among ``tokenized`` that kept some of their streams.
        words_updated: songs whose rows got another title, caption or tags.
        cleared: quarantine rows that were deleted, since their files were replaced or deleted.
        gone: files of tokenized songs that the catalog no longer lists; the first :data:`MOST_LOST`.
        gone_count: number of all such files.
        replaced: files that hold another song than the table has of them; the first :data:`MOST_LOST`.
        replaced_count: number of all such files.
        stages: what each stage did.
        slowest: the slowest songs, in order.
        dropped_by: songs with vocals by the rule that dropped them: ``tag:<tag>`` or ``score``.
        histograms: distributions, by name of the value.
        problems: bad files; the first :data:`MOST_PROBLEMS`.
        problem_count: number of all bad files.
        settings: the job's settings.
        workers: the job's workers, in words.
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
    problems: tuple[BadFile, ...] = ()
    problem_count: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: str = ""

    def counts(self) -> dict[str, int]:
        """The counts under readable names; rare ones only if they are not 0."""
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
