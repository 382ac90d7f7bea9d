"""The front half of `stems prepare`, which its estimate shares: what a catalog and a table leave to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.catalog.schema import CatalogEntry
from pipelines.table.schema import StemsRow
from pipelines.tokens.choose.choose import Chooser
from pipelines.tokens.choose.decision import Choice
from pipelines.tokens.choose.table_state import FileFacts, TableState
from pipelines.tokens.paths import check_no_own_stems
from pipelines.tokens.resolve import ResolvedRun
from pipelines.tokens.songs.kept_stems_check import damaged


@dataclass(frozen=True)
class Preparation:
    """What a run has to do before and after its files are read. Nothing is written or computed here.

    Args:
        entries: of the catalog.
        present: those of them that are not files of songs that were taken down.
        unread: those of the present ones whose sound is not known.
        early: decisions that need no file to be read.
    """

    entries: Sequence[CatalogEntry]
    present: Sequence[CatalogEntry]
    unread: Sequence[CatalogEntry]
    early: Choice
    _chooser: Chooser

    @classmethod
    def of(cls, resolved: ResolvedRun, entries: Sequence[CatalogEntry], state: TableState) -> Preparation:
        """Compare a catalog with the state of a table.

        Raises:
            StemsError: the catalog holds stems that the table keeps, or a store of kept stems does not answer.
        """
        check_no_own_stems(entries, (row.folder for row in state.stems.values()))
        present = [entry for entry in entries if entry.fingerprint not in state.removed_files]
        keep = bool(resolved.keep_stems)
        lost = damaged(_kept_of(present, state), resolved.layout.names) if keep else set()
        chooser = Chooser(state, resolved.identity, resolved.layout, resolved.rule, resolved.limits, keep, lost)
        remain, early = chooser.before_reading(present)
        unread = [entry for entry in remain if entry.fingerprint not in state.facts]
        return cls(entries, present, unread, early, chooser)

    def choose(self, facts: Mapping[str, FileFacts]) -> Choice:
        """What to do with the present files whose measurements are known, by fingerprint."""
        return self._chooser.choose(self.present, facts)


def _kept_of(entries: Sequence[CatalogEntry], state: TableState) -> list[StemsRow]:
    """The kept stems of those entries that the table knows."""
    songs = {state.facts[entry.fingerprint].song_id for entry in entries if entry.fingerprint in state.facts}
    return [row for (song, _), row in state.stems.items() if song in songs]
