"""The token table: Delta tables in one folder, which any Arrow reader opens.

| folder | a row is | key |
|---|---|---|
| ``tokens`` | a song as codes | song, separator, codecs |
| ``catalog`` | a readable file, and what its sound was found to be | file |
| ``dropped`` | a song with vocals | file, separator |
| ``quarantine`` | a file that is no song, or that another file has too | file, separator, codecs, limits |
| ``stems`` | a song's stems as files | song, separator |
| ``removed`` | a song that was taken down | song |

Schemas: :mod:`pipelines.table.schema`. Readers go through a version, so that a training run can pin what it saw.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.table.captions import SongWords
from pipelines.table.delta.rewrite import Values
from pipelines.table.keyed_table import KeyedTable
from pipelines.table.schema import (
    CATALOG,
    DROPPED,
    QUARANTINE,
    REMOVED,
    SCHEMA_VERSION,
    STEMS,
    TOKENS,
    CatalogRow,
    DroppedRow,
    QuarantineRow,
    RemovedRow,
    StemsRow,
    TokenRow,
    plain_table,
    tokens_table,
)

_SCHEMAS: dict[str, tuple[pa.Schema, tuple[str, ...]]] = {
    "tokens": (TOKENS, ("song_id", "separator", "codecs")),
    "catalog": (CATALOG, ("fingerprint",)),
    "dropped": (DROPPED, ("fingerprint", "separator")),
    "quarantine": (QUARANTINE, ("fingerprint", "separator", "codecs", "limits")),
    "stems": (STEMS, ("song_id", "separator")),
    "removed": (REMOVED, ("song_id",)),
}
TABLES = tuple(_SCHEMAS)
_DROPPED_KEY = _SCHEMAS["dropped"][1]


class TokenTable:
    """Songs as tokens, on a local path or ``s3://`` (options from ``AWS_*`` environment variables).

    Args:
        root: folder of the tables.
        storage_options: for the object store, instead of the environment's.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self._storage = storage_options

    @cached_property
    def tables(self) -> dict[str, KeyedTable]:
        """Each of :data:`TABLES` by its name."""
        return {
            name: KeyedTable(f"{self.root}/{name}", schema, key, SCHEMA_VERSION, self._storage)
            for name, (schema, key) in _SCHEMAS.items()
        }

    def create(self) -> None:
        """Create what is missing of the tables, empty."""
        for table in self.tables.values():
            table.create()

    @property
    def version(self) -> int:
        """The newest version of the songs: what a training run pins. StemsError where there is no table."""
        return self.tables["tokens"].version

    def versions(self) -> dict[str, int]:
        """The newest version of each table."""
        return {name: table.version for name, table in self.tables.items()}

    def rows(
        self, split: str | None = None, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Songs, in no particular order (sort by ``song_id`` to compare tables).

        Args:
            split: ``train``, ``valid`` or ``sung``; all by default.
            version: an earlier version; the newest by default.
            columns: only these.

        Raises:
            StemsError: there is no table, or no such version.
        """
        wanted = None if split is None else ds.field("split") == split
        return self.tables["tokens"].read(list(columns) if columns else None, wanted, version)

    def stream(
        self, made_by: Sequence[str], version: int, columns: Sequence[str], batch_rows: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """Songs of one version, a few at a time: for tables larger than memory.

        Args:
            made_by: values of ``codecs`` whose songs are wanted.
            version: of the songs.
            columns: only these.
            batch_rows: the most songs at a time.

        Raises:
            StemsError: there is no table, or no such version.
        """
        wanted = ds.field("codecs").isin(list(made_by))
        return self.tables["tokens"].stream(list(columns), wanted, version, batch_rows)

    def catalog(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Files that can be read, and what their sound is."""
        return self.tables["catalog"].read(list(columns) if columns else None)

    def dropped(self) -> pa.Table:
        """Songs with vocals."""
        return self.tables["dropped"].read()

    def quarantine(self) -> pa.Table:
        """Files that are no songs, or songs that other files have too, and why."""
        return self.tables["quarantine"].read()

    def stems(self) -> pa.Table:
        """Where songs' stems are kept."""
        return self.tables["stems"].read()

    def removed(self) -> pa.Table:
        """Songs that were taken down."""
        return self.tables["removed"].read()

    def commit_tokens(self, rows: Sequence[TokenRow]) -> int:
        """Insert songs that are absent, atomically; return how many were."""
        return self.tables["tokens"].insert(tokens_table(rows)) if rows else 0

    def commit_catalog(self, rows: Sequence[CatalogRow]) -> int:
        """Insert files that are absent, atomically; return how many were."""
        return self.tables["catalog"].insert(plain_table(rows, CATALOG)) if rows else 0

    def commit_dropped(self, rows: Sequence[DroppedRow]) -> int:
        """Insert songs with vocals that are absent, atomically; return how many were."""
        return self.tables["dropped"].insert(plain_table(rows, DROPPED)) if rows else 0

    def commit_quarantine(self, rows: Sequence[QuarantineRow]) -> int:
        """Insert files that are absent, atomically; return how many were."""
        return self.tables["quarantine"].insert(plain_table(rows, QUARANTINE)) if rows else 0

    def commit_stems(self, rows: Sequence[StemsRow]) -> int:
        """Insert kept stems that are absent, atomically; return how many were."""
        return self.tables["stems"].insert(plain_table(rows, STEMS)) if rows else 0

    def commit_removed(self, rows: Sequence[RemovedRow]) -> int:
        """Insert takedowns that are absent, atomically; return how many were."""
        return self.tables["removed"].insert(plain_table(rows, REMOVED)) if rows else 0

    def pardon(self, fingerprints: Collection[str]) -> int:
        """Take files out of the quarantine, so that the next run looks at them again; return how many rows went."""
        return self.tables["quarantine"].delete("fingerprint", sorted(fingerprints))

    def readmit(self, rows: Collection[tuple[str, str]]) -> None:
        """Take songs out of the dropped ones, each by its file and the separator that heard it."""
        wanted = set(rows)
        if wanted:
            self.tables["dropped"].rewrite(_DROPPED_KEY, lambda key: None if key in wanted else key)

    def revise_songs(self, words: Mapping[str, SongWords], splits: Mapping[tuple[str, str], str]) -> None:
        """Give songs other words, in all their rows, and other splits, in their rows by one separator.

        Codes stay as they are, to the bit; some thousand rows go in one commit.

        Args:
            words: by song.
            splits: by song and separator.
        """

        def now(row: Values) -> Values:
            song, separator, title, caption, tags, split = row
            said = words.get(song, SongWords(title, caption, tags))
            return song, separator, said.title, said.caption, said.tags, splits.get((song, separator), split)

        if words or splits:
            self.tables["tokens"].rewrite(("song_id", "separator", "title", "caption", "tags", "split"), now)

    def revise_catalog(self, entries: Mapping[str, str]) -> None:
        """Put other entries (JSON), by fingerprint, in the place of those that are there."""
        if entries:
            self.tables["catalog"].rewrite(
                ("fingerprint", "entry"), lambda row: (row[0], entries.get(row[0], row[1]))
            )

    def revise_stems(self, folders: Mapping[tuple[str, str], str]) -> None:
        """Say where stems are kept now, by song and separator."""
        if folders:
            self.tables["stems"].rewrite(
                ("song_id", "separator", "folder"), lambda row: (*row[:2], folders.get(row[:2], row[2]))
            )

    def revise_dropped(self, rows: Mapping[tuple[str, str], DroppedRow]) -> None:
        """Put other titles, tags and reasons, by file and separator, in the place of those that are there."""

        def now(was: Values) -> Values:
            row = rows.get(was[:2])
            return (*was[:2], row.title, row.tags, row.decided_by) if row else was

        if rows:
            self.tables["dropped"].rewrite((*_DROPPED_KEY, "title", "tags", "decided_by"), now)
