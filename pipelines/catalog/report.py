"""What a catalog holds and what is wrong with it, in numbers and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from models.audio.formats import is_audio_name
from pipelines.catalog.problems import CatalogProblem
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import suffix

_SHOWN = 200
_MEND_EXIT = 2


@dataclass(frozen=True)
class CatalogReport:
    """A catalog in numbers.

    Args:
        songs, multitracks, bytes: how many there are, how many of them have stems, and how large they are.
        hours: of the songs whose length is known.
        unknown_lengths: songs whose length neither the catalog nor a readable header says.
        formats: songs by the suffix of their (first) file.
        captioned, tagged: songs with a caption, with tags.
        problems: everything that is wrong, in the order in which it was found.
        output: where the catalog was written; empty for none.
    """

    songs: int
    multitracks: int
    bytes: int
    hours: float
    unknown_lengths: int
    formats: dict[str, int]
    captioned: int
    tagged: int
    problems: tuple[CatalogProblem, ...]
    output: str = ""

    @property
    def exit_code(self) -> int:
        """2 where something must be corrected first, or 0."""
        return _MEND_EXIT if any(problem.fatal for problem in self.problems) else 0

    def summary(self) -> Group:
        """The report for a terminal: a table, and the problems below it."""
        table = Table("catalog", "")
        table.columns[1].justify = "right"
        table.add_row("songs", f"{self.songs:,}")
        for name, count in sorted(self.formats.items(), key=lambda item: -item[1]):
            table.add_row(f"  {escape(name)}", f"{count:,}", style="dim")
        table.add_row("with stems", f"{self.multitracks:,}")
        table.add_row("hours", f"{self.hours:,.2f}")
        table.add_row("of unknown length", f"{self.unknown_lengths:,}")
        table.add_row("with a caption", _share(self.captioned, self.songs))
        table.add_row("with tags", _share(self.tagged, self.songs))
        table.add_row("gigabytes", f"{self.bytes / 1e9:,.3f}")
        table.add_row("problems", f"{len(self.problems):,}")
        if self.output:
            table.add_row("written to", escape(self.output))
        return Group(table, *(_line(problem) for problem in self.problems[:_SHOWN]), *self._rest())

    def _rest(self) -> list[str]:
        """A line for the problems that are too many to show."""
        more = Counter(problem.hint for problem in self.problems[_SHOWN:])
        return [f"… and {count:,} more: {escape(hint)}" for hint, count in more.items()]


def report_on(entries: Sequence[CatalogEntry], problems: Sequence[CatalogProblem], output: str = "") -> CatalogReport:
    """Count a catalog; lengths are those that its entries declare."""
    return CatalogReport(
        songs=len(entries),
        multitracks=sum(bool(entry.stems) for entry in entries),
        bytes=sum(entry.size for entry in entries),
        hours=sum(entry.seconds for entry in entries) / 3600,
        unknown_lengths=sum(entry.seconds == 0 for entry in entries),
        formats=dict(Counter(suffix(sound_file(entry)) or "without a suffix" for entry in entries)),
        captioned=sum(bool(entry.caption) for entry in entries),
        tagged=sum(bool(entry.tags) for entry in entries),
        problems=tuple(problems),
        output=output,
    )


def sound_file(entry: CatalogEntry) -> str:
    """The file whose header says how long a song is: its own, or of stems without a mix the first."""
    is_folder = entry.stems and not is_audio_name(entry.uri)
    return entry.stems[0].uris[0] if is_folder else entry.uri


def _line(problem: CatalogProblem) -> str:
    must = "[bold]must be corrected[/bold]: " if problem.fatal else ""
    said = f"{problem} {problem.hint}".encode(errors="replace").decode()  # a name may be what no terminal takes
    return f"{must}{escape(said)}".strip()


def _share(count: int, songs: int) -> str:
    return f"{count:,} ({count / songs:.0%})" if songs else "0"
