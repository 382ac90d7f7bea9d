"""Rows whose title, caption or tags differ from what the catalog says now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.captions import SongWords, speaks_for, words_from_elsewhere, words_of
from pipelines.table.schema import DroppedRow
from pipelines.tokens.choose.table_state import FileFacts, TableState
from pipelines.tokens.choose.vocal_rule import VocalRule

Listed = Sequence[tuple[CatalogEntry, FileFacts]]
"""Files of a catalog, in its order, each with the measurements of its sound."""


@dataclass(frozen=True)
class Rewording:
    """Rows to give other words.

    Args:
        tokens: new words of songs' rows of tokens, by song.
        entries: new entries of rows in the catalog table, as JSON, by fingerprint.
        dropped: new rows of dropped songs, by file and separator.
        songs: all songs that these are about; for files that were never read, their fingerprints.
    """

    tokens: Mapping[str, SongWords] = field(default_factory=dict)
    entries: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[tuple[str, str], DroppedRow] = field(default_factory=dict)
    songs: frozenset[str] = frozenset()


def words_by_song(files: Listed, state: TableState) -> dict[str, SongWords]:
    """The words of each song: those of its first file, unless the catalog does not list the file of its row."""
    entries: dict[str, list[CatalogEntry]] = {}
    for entry, facts in files:
        entries.setdefault(facts.song_id, []).append(entry)
    return {song: _words_of_song(song, same, state) for song, same in entries.items()}


def rewording(files: Listed, words: Mapping[str, SongWords], state: TableState, rule: VocalRule) -> Rewording:
    """What changed in the words of files whose sound is known."""
    tokens = {
        song: said for song, said in words.items() if any(row.words != said for row in state.tokenized.get(song, ()))
    }
    changed = [
        (entry, facts)
        for entry, facts in files
        if entry.fingerprint in state.files and state.files[entry.fingerprint].words != words_of(entry)
    ]
    drops = reworded_drops(
        ((row, entry) for entry, _ in files for row in state.dropped.get(entry.fingerprint, ()) if row.song_id), rule
    )
    return replace(
        drops,
        tokens=tokens,
        entries={entry.fingerprint: entry_to_json(entry) for entry, _ in changed},
        songs=drops.songs | tokens.keys() | {facts.song_id for _, facts in changed},
    )


def reworded_drops(rows: Iterable[tuple[DroppedRow, CatalogEntry]], rule: VocalRule) -> Rewording:
    """What changed in the words of dropped songs, each with the entry of its file."""
    changed = [
        replace(
            row,
            title=entry.title,
            tags=entry.tags,
            decided_by=rule.decide(entry.tags, row.vocal_score) or row.decided_by,
        )
        for row, entry in rows
        if (row.title, row.tags) != (entry.title, entry.tags)
    ]
    return Rewording(
        dropped={(row.fingerprint, row.separator): row for row in changed},
        songs=frozenset(row.song_id or row.fingerprint for row in changed),
    )


def _words_of_song(song: str, entries: Sequence[CatalogEntry], state: TableState) -> SongWords:
    first, rows = entries[0], state.tokenized.get(song, ())
    if not rows or speaks_for(entries, {row.fingerprint for row in rows}, {row.uri for row in rows}):
        return words_of(first)
    stored = state.files.get(first.fingerprint)
    return words_from_elsewhere(first, stored.words if stored else None, rows[0].words)
