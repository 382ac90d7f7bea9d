"""The token table: Delta tables in one folder, which any Arrow reader opens.

| folder | a row is | key |
|---|---|---|
| ``tokens`` | a song as codes | song, separator, codecs |
| ``catalog`` | a readable file, and the measurements of its sound | file |
| ``dropped`` | a song with vocals | file, separator |
| ``quarantine`` | a file that is not a usable song, or a copy of another file | file, separator, codecs, limits |
| ``stems`` | a song's stems as files | song, separator |
| ``removed`` | a song that was taken down | song |

Schemas: :mod:`pipelines.table.schema`. Readers name a version, so that a training run can pin what it saw.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.table.captions import SongWords
from pipelines.table.delta.rewrite import Values
from pipelines.table.keyed_table import Compaction, KeyedTable
from pipelines.table.schema import (
    CATALOG,
    DROPPED,
    KEYS,
    QUARANTINE,
    REMOVED,
    SCHEMA_VERSION,
    SCHEMAS,
    STEMS,
    CatalogRow,
    DroppedRow,
    QuarantineRow,
    RemovedRow,
    StemsRow,
    TokenRow,
    plain_table,
    tokens_table,
)

_TARGET_MB = 128
_BATCH_ROWS = 64

Where = Mapping[str, Sequence[str]]
"""Rows to read: by column, the values that are wanted. A row must match in every column."""


@dataclass(frozen=True)
class StoredFiles:
    """What one of the tables takes on disk in its newest version: data files, and their bytes."""

    files: int
    bytes: int


class TokenTable:
    """Songs as tokens, on a local path or ``s3://`` (options from ``AWS_*`` environment variables).

    Methods that take a ``name`` take one of :data:`pipelines.table.schema.TABLES`. All raise a StemsError where there
    is no table, or where its storage does not answer.

    Args:
        root: folder of the tables.
        storage_options: for the object store, instead of the environment's.
    """

    def __init__(self, root: str, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = root.rstrip("/")
        self._storage = storage_options

    @cached_property
    def _tables(self) -> dict[str, KeyedTable]:
        return {
            name: KeyedTable(f"{self.root}/{name}", schema, KEYS[name], SCHEMA_VERSION, self._storage)
            for name, schema in SCHEMAS.items()
        }

    def exists(self) -> bool:
        """Whether there is a table of songs."""
        return self._tables["tokens"].exists()

    def create(self) -> None:
        """Create those of the tables that are missing, empty."""
        for table in self._tables.values():
            table.create()

    @property
    def version(self) -> int:
        """The newest version of the songs, which a training run pins."""
        return self._tables["tokens"].version

    def versions(self) -> dict[str, int]:
        """The newest version of each table."""
        return {name: table.version for name, table in self._tables.items()}

    def stored(self) -> dict[str, StoredFiles]:
        """What each table takes on disk in its newest version."""
        files = {name: table.files() for name, table in self._tables.items()}
        return {name: StoredFiles(len(found), sum(file.bytes for file in found)) for name, found in files.items()}

    def rows(
        self, split: str | None = None, version: int | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Songs, in no particular order (sort by ``song_id`` to compare tables).

        Args:
            split: ``train``, ``valid`` or ``sung``; all by default.
            version: an earlier version; the newest by default.
            columns: only these.
        """
        return self.read("tokens", columns, {} if split is None else {"split": [split]}, version)

    def read(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        version: int | None = None,
    ) -> pa.Table:
        """Rows of one of the tables, all columns and rows of the newest version by default."""
        return self._tables[name].read(list(columns) if columns else None, _filter(where), version)

    def stream(
        self,
        columns: Sequence[str],
        where: Where | None = None,
        version: int | None = None,
        batch_rows: int = _BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Songs of one version, a few at a time: for tables larger than memory."""
        return self._tables["tokens"].stream(list(columns), _filter(where), version, batch_rows)

    def readable(
        self, name: str, columns: Sequence[str], batch_rows: int, complain: Callable[[str], None]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of one of the tables from every data file that can be read; ``complain`` is called for the others."""
        return self._tables[name].readable(columns, batch_rows, complain)

    def catalog(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Readable files, and the measurements of their sound."""
        return self.read("catalog", columns)

    def dropped(self) -> pa.Table:
        """Songs with vocals."""
        return self.read("dropped")

    def quarantine(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Files that are not usable songs, and why."""
        return self.read("quarantine", columns)

    def stems(self) -> pa.Table:
        """Where songs' stems are kept."""
        return self.read("stems")

    def removed(self) -> pa.Table:
        """Songs that were taken down."""
        return self.read("removed")

    def commit_tokens(self, rows: Sequence[TokenRow]) -> int:
        """Insert the songs that are absent, in one atomic commit; return how many were."""
        return self._tables["tokens"].insert(tokens_table(rows)) if rows else 0

    def commit_catalog(self, rows: Sequence[CatalogRow]) -> int:
        """Insert the files that are absent, in one atomic commit; return how many were."""
        return self._tables["catalog"].insert(plain_table(rows, CATALOG)) if rows else 0

    def commit_dropped(self, rows: Sequence[DroppedRow]) -> int:
        """Insert the songs with vocals that are absent, in one atomic commit; return how many were."""
        return self._tables["dropped"].insert(plain_table(rows, DROPPED)) if rows else 0

    def commit_quarantine(self, rows: Sequence[QuarantineRow]) -> int:
        """Insert the files that are absent, in one atomic commit; return how many were."""
        return self._tables["quarantine"].insert(plain_table(rows, QUARANTINE)) if rows else 0

    def commit_stems(self, rows: Sequence[StemsRow]) -> int:
        """Insert the kept stems that are absent, in one atomic commit; return how many were."""
        return self._tables["stems"].insert(plain_table(rows, STEMS)) if rows else 0

    def commit_removed(self, rows: Sequence[RemovedRow]) -> int:
        """Insert the takedowns that are absent, in one atomic commit; return how many were."""
        return self._tables["removed"].insert(plain_table(rows, REMOVED)) if rows else 0

    def delete_songs(self, name: str, songs: Collection[str]) -> int:
        """Delete the rows of these songs from one of the tables; return how many there were."""
        return self._tables[name].delete("song_id", sorted(songs))

    def delete_files(self, name: str, fingerprints: Collection[str]) -> int:
        """Delete the rows of these files from one of the tables; return how many there were."""
        return self._tables[name].delete("fingerprint", sorted(fingerprints))

    def pardon(self, fingerprints: Collection[str]) -> int:
        """Take files out of the quarantine, so that the next run looks at them again; return how many rows went."""
        return self.delete_files("quarantine", fingerprints)

    def readmit(self, rows: Collection[tuple[str, str]]) -> None:
        """Take songs out of the dropped ones, each by its file and the separator that scored it."""
        wanted = set(rows)
        if wanted:
            self._tables["dropped"].rewrite(KEYS["dropped"], lambda key: None if key in wanted else key)

    def revise_songs(self, words: Mapping[str, SongWords], splits: Mapping[tuple[str, str], str]) -> None:
        """Change songs' words in all their rows, and their splits in their rows by one separator.

        Codes stay as they are, to the bit; each commit rewrites some thousand rows.

        Args:
            words: by song.
            splits: by song and separator.
        """

        def now(row: Values) -> Values:
            song, separator, title, caption, tags, split = row
            said = words.get(song, SongWords(title, caption, tags))
            return song, separator, said.title, said.caption, said.tags, splits.get((song, separator), split)

        if words or splits:
            self._tables["tokens"].rewrite(("song_id", "separator", "title", "caption", "tags", "split"), now)

    def revise_catalog(self, entries: Mapping[str, str]) -> None:
        """Replace the stored catalog entries (JSON) of some files, by fingerprint."""
        if entries:
            self._tables["catalog"].rewrite(
                ("fingerprint", "entry"), lambda row: (row[0], entries.get(row[0], row[1]))
            )

    def revise_stems(self, folders: Mapping[tuple[str, str], str]) -> None:
        """Record where stems are kept now, by song and separator."""
        if folders:
            self._tables["stems"].rewrite(
                ("song_id", "separator", "folder"), lambda row: (*row[:2], folders.get(row[:2], row[2]))
            )

    def revise_dropped(self, rows: Mapping[tuple[str, str], DroppedRow]) -> None:
        """Replace titles, tags and reasons of dropped songs, by file and separator."""

        def now(was: Values) -> Values:
            row = rows.get(was[:2])
            return (*was[:2], row.title, row.tags, row.decided_by) if row else was

        if rows:
            self._tables["dropped"].rewrite((*KEYS["dropped"], "title", "tags", "decided_by"), now)

    def revise_removed(self, rows: Sequence[RemovedRow]) -> None:
        """Replace the records of songs that were taken down, by song."""
        self._tables["removed"].replace(plain_table(rows, REMOVED), by="song_id")

    def compact(self, target_mb: int = _TARGET_MB) -> dict[str, Compaction]:
        """Merge the small data files of each table; rows stay as they are."""
        return {name: table.compact(target_mb) for name, table in self._tables.items()}

    def vacuum(self, hours: int, dry_run: bool = False) -> dict[str, list[str]]:
        """Delete the data files that no version of the last hours needs; return their names, by table."""
        return {name: table.vacuum(hours, dry_run) for name, table in self._tables.items()}


def _filter(where: Where | None) -> ds.Expression | None:
    terms = [ds.field(column).isin(pa.array(values, pa.string())) for column, values in (where or {}).items()]
    return reduce(and_, terms) if terms else None
