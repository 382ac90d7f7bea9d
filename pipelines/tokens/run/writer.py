"""Rows on their way into the table: gathered, and written every so often, each table in one atomic commit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from models.errors import StemsError
from pipelines.table.schema import CatalogRow, DroppedRow, QuarantineRow, StemsRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import TableJob
from pipelines.tokens.songs.reasons import DUPLICATE, REMOVED

Wanted = TypeVar("Wanted", CatalogRow, StemsRow, TokenRow)
Row = CatalogRow | StemsRow | TokenRow | DroppedRow | QuarantineRow

_ENOUGH_FILES = 20
"""Files after which a share of bad ones stops a run before its end."""


class Writer:
    """Takes rows and commits them when there are enough, or when time is up.

    Order matters where a kill comes between two commits: a song's stems are there before its tokens are.

    Attributes:
        commit_songs: songs between commits.
        written: rows that went in, by kind; those that were there already do not count.
        reasons: files put in quarantine, by reason.
        hours: of audio tokenized.
    """

    def __init__(self, table: TokenTable, config: TableJob) -> None:
        self._table, self._config = table, config
        self.commit_songs = config.commit_songs
        self._catalog: list[CatalogRow] = []
        self._stems: list[StemsRow] = []
        self._tokens: list[TokenRow] = []
        self._dropped: list[DroppedRow] = []
        self._quarantine: list[QuarantineRow] = []
        self._committed_at = time.monotonic()
        self.written: Counter[str] = Counter()
        self._good: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.hours = 0.0

    def add(self, row: Row) -> None:
        """Take one row; commits when it is time."""
        match row:
            case CatalogRow():
                self._catalog.append(row)
            case StemsRow():
                self._stems.append(row)
            case TokenRow():
                self._tokens.append(row)
            case DroppedRow():
                self._dropped.append(row)
            case QuarantineRow():
                self._quarantine.append(row)
        waited = time.monotonic() - self._committed_at
        most = max(len(self._catalog), len(self._tokens), len(self._dropped), len(self._quarantine))
        if most >= self.commit_songs or waited >= self._config.commit_seconds:
            self.commit()

    def pass_over(self, reason: str) -> None:
        """Count a file that is bad today and may be good tomorrow: nothing is written of it."""
        self.reasons[reason] += 1

    def commit(self) -> None:
        """Write what is pending.

        Raises:
            StemsError: ``too_many_errors``, after writing, where more files are bad than the job accepts.
        """
        self.write()
        self._check_errors()

    def write(self) -> None:
        """Write what is pending, however much of it is bad; nothing of songs that were taken down meanwhile."""
        table, self._committed_at = self._table, time.monotonic()
        catalog, self._catalog = self._still_wanted(self._catalog), []
        stems, self._stems = self._still_wanted(self._stems), []
        tokens, self._tokens = self._still_wanted(self._tokens), []
        dropped, self._dropped = self._dropped, []
        quarantine, self._quarantine = self._quarantine, []
        self._good.update(catalog=len(catalog), songs=len(tokens) + len(dropped))
        self.written["catalog"] += table.commit_catalog(catalog)
        self.written["stems"] += table.commit_stems(stems)
        added = table.commit_tokens(tokens)
        self.written["tokens"] += added
        self.hours += sum(row.seconds for row in tokens) / 3600 * (added / len(tokens) if tokens else 0)
        self.written["dropped"] += table.commit_dropped(dropped)
        self.written["quarantine"] += table.commit_quarantine(quarantine)
        self.reasons.update(row.reason for row in quarantine)

    def _still_wanted(self, rows: list[Wanted]) -> list[Wanted]:
        removed = set(self._table.removed()["song_id"].to_pylist()) if rows else set()
        return [row for row in rows if row.song_id not in removed]

    def _check_errors(self) -> None:
        bad = bad_files(self.reasons)
        # A song is written once in each phase, and a run may begin in the second.
        files = max(self._good.values(), default=0) + bad
        if files >= _ENOUGH_FILES and bad > self._config.max_error_rate * files:
            raise too_many_errors(bad, files, self._config.max_error_rate)


def bad_files(reasons: Mapping[str, int]) -> int:
    """Files that are no songs, of files by the reason why they were set aside."""
    return sum(count for reason, count in reasons.items() if reason not in (DUPLICATE, REMOVED))


def too_many_errors(bad: int, files: int, most: float, first: str = "") -> StemsError:
    """The error of a job of whose files so many are bad, though a share of ``most`` is accepted; with what is wrong
    with the ``first``, if it is known.
    """
    return StemsError(
        f"{bad} of {files} files are in quarantine or out of reach: "
        + (f"more than {most:.0%}." if bad > most * files else "not one is a song.")
        + (f" The first: {first}" if first else ""),
        "`stems table info` counts the reasons. What was done is in the table"
        + ("; raise max_error_rate to accept more." if bad < files else "."),
        code="too_many_errors",
        field="max_error_rate",
    )
