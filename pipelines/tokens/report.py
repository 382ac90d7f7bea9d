"""What a prepare run did, in numbers and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.table import Table


@dataclass(frozen=True)
class PrepareReport:
    """Counts of files, each in exactly one of: already there, tokenized, vocals, duplicates, quarantined.

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

    def summary(self) -> Table:
        """The report for a terminal."""
        table = Table("prepare", "", title=None)
        table.columns[1].justify = "right"
        rows = {
            "songs in": self.songs,
            "already there": self.already_there,
            "tokenized": self.tokenized,
            "with vocals, dropped": self.vocals,
            "duplicates": self.duplicates,
            "quarantined": sum(self.quarantined.values()),
        }
        for name, count in rows.items():
            table.add_row(name, str(count))
        for reason, count in sorted(self.quarantined.items()):
            table.add_row(f"  {reason}", str(count), style="dim")
        table.add_row("hours of audio", f"{self.hours:.2f}")
        table.add_row("seconds", f"{self.seconds:.0f}")
        return table
