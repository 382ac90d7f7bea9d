"""Rows on their way into the table: gathered, and written every so often, each table in one atomic commit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pipelines.table.schema import CatalogRow, DroppedRow, QuarantineRow, StemsRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import TableJob
from pipelines.tokens.run.error_rate import ErrorRate

Row = CatalogRow | StemsRow | TokenRow | DroppedRow | QuarantineRow

_COUNTED: tuple[type, ...] = (CatalogRow, TokenRow, DroppedRow, QuarantineRow)
"""Kinds of which one alone can fill a commit; a song's stems come with its tokens."""

_OF_SONGS: tuple[type, ...] = (CatalogRow, StemsRow, TokenRow)
"""Kinds that are not written for songs that were taken down meanwhile."""


class Writer:
    """Takes rows and commits them when there are enough of them, or when time is up.

    The order of commits matters if the process dies between two: a song's stems are there before its tokens are.

    Args:
        table: to write to.
        job: says how many songs, or after how many seconds, to commit; and how many errors it accepts.

    Attributes:
        commit_songs: songs between commits.
        written: number of rows that the table did not have, by table.
        reasons: number of files set aside, by reason.
        hours: hours of audio tokenized.
    """

    def __init__(self, table: TokenTable, job: TableJob) -> None:
        self._table, self._job, self._error_rate = table, job, ErrorRate(job.max_error_rate)
        self.commit_songs = job.commit_songs
        # In the order of commits.
        self._commits: dict[type, tuple[str, Callable[[Any], int]]] = {
            CatalogRow: ("catalog", table.commit_catalog),
            StemsRow: ("stems", table.commit_stems),
            TokenRow: ("tokens", table.commit_tokens),
            DroppedRow: ("dropped", table.commit_dropped),
            QuarantineRow: ("quarantine", table.commit_quarantine),
        }
        self._pending: dict[type, list[Any]] = {kind: [] for kind in self._commits}
        self._committed_at = time.monotonic()
        self.written: Counter[str] = Counter()
        self._good: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.hours = 0.0

    def add(self, row: Row) -> None:
        """Take one row; commit if it is time. Raises what :meth:`flush_and_check` does."""
        self._pending[type(row)].append(row)
        waited = time.monotonic() - self._committed_at
        most = max(len(self._pending[kind]) for kind in _COUNTED)
        if most >= self.commit_songs or waited >= self._job.commit_seconds:
            self.flush_and_check()

    def pass_over(self, reason: str) -> None:
        """Count a bad file that may be good in the next run: no row is written for it."""
        self.reasons[reason] += 1

    def flush_and_check(self) -> None:
        """Write what is pending, then refuse to go on if too many files are bad.

        Raises:
            StemsError: ``too_many_errors``.
        """
        self.flush()
        # Each phase writes a song once, and a run may begin with the second.
        self._error_rate.check_so_far(max(self._good.values(), default=0), self.reasons)

    def flush(self) -> None:
        """Write what is pending, whatever it is, except rows of songs that were taken down meanwhile."""
        self._committed_at = time.monotonic()
        pending, self._pending = self._pending, {kind: [] for kind in self._commits}
        if any(pending[kind] for kind in _OF_SONGS):
            removed = set(self._table.read("removed", ["song_id"])["song_id"].to_pylist())
            for kind in _OF_SONGS:
                pending[kind] = [row for row in pending[kind] if row.song_id not in removed]
        self._good.update(catalog=len(pending[CatalogRow]), songs=len(pending[TokenRow]) + len(pending[DroppedRow]))
        for kind, (name, commit) in self._commits.items():
            added = commit(pending[kind])
            self.written[name] += added
            if kind is TokenRow and added:
                share = added / len(pending[kind])  # the others were there already
                self.hours += share * sum(row.seconds for row in pending[kind]) / 3600
        self.reasons.update(row.reason for row in pending[QuarantineRow])
