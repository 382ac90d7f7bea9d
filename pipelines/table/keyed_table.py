"""A Delta table in which each key occurs once, however many processes write to it.

How a change is made:

1. ``plan(newest version)`` says which data files go and which of the given rows are new, or None for no change.
2. ``content(newest version, plan)`` gives the rows to write; they go into new data files that no reader sees yet.
3. One log entry, the next version, adds the new files and removes the old ones. It is written only if no other writer
   has written that version; otherwise nothing happened, and step 1 runs again on what is there now.

For example, :meth:`KeyedTable.delete` plans "the files that hold matching rows go", and its content is the rows of
those files that do not match. (Delta's MERGE gives the same, but scans the codes of the whole table at each commit.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from models.errors import StemsError
from pipelines.table.delta.change import Change, CommitPlan
from pipelines.table.delta.commit import DataFile
from pipelines.table.delta.data_files import FILES_AT_A_TIME, KnownKeys, Version, few_rows, groups_of, key_tuples
from pipelines.table.delta.opening import create_table, open_version, table_exists
from pipelines.table.delta.readable import readable_rows
from pipelines.table.delta.rewrite import Rewriting, Values
from pipelines.table.delta.storage import DeltaStorage
from pipelines.table.delta.vacuum import delete_files, unneeded_files

_TARGET_MB = 128
_REWRITTEN_ROWS = 4096
"""Rows of the data files that one commit rewrites."""
_ROUNDS = 5
VERSION_KEY = "stems.schema_version"


@dataclass(frozen=True)
class Compaction:
    """How many data files there were before and after."""

    before: int
    after: int


class KeyedTable:
    """One Delta table on a local path or an object store, with a unique key.

    Args:
        uri: local path or ``s3://``; nothing needs to be there yet.
        schema: of its rows.
        key: columns of strings that identify a row.
        schema_version: kept in the table's configuration; another one there is refused.
        storage_options: for the object store; ``AWS_*`` environment variables by default.
    """

    def __init__(
        self,
        uri: str,
        schema: pa.Schema,
        key: tuple[str, ...],
        schema_version: int,
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self.uri, self.schema, self.key, self.schema_version = uri, schema, key, schema_version
        self._storage = DeltaStorage(uri, storage_options)
        self._keys = KnownKeys()

    def __reduce__(self) -> tuple[Any, ...]:
        return KeyedTable, (self.uri, self.schema, self.key, self.schema_version, self._storage.given)

    def exists(self) -> bool:
        """Whether the table has been created."""
        return table_exists(self._storage)

    def create(self) -> None:
        """Create the table empty; do nothing where it exists."""
        create_table(self._storage, self.schema, self.key, {VERSION_KEY: str(self.schema_version)})

    @property
    def version(self) -> int:
        """The newest version."""
        return self._open().number

    def read(self, columns: list[str] | None = None, filter: Any = None, version: int | None = None) -> pa.Table:
        """Rows of one version (the newest by default), as of one moment.

        Raises:
            StemsError: there is no table, no such version, or its schema is of another release.
        """
        data = self._open(version).dataset(filtered=filter is not None)
        return self._storage.retried(
            lambda: data.to_table(columns=columns, filter=filter, fragment_readahead=FILES_AT_A_TIME)
        )

    def stream(
        self, columns: list[str], filter: Any, version: int | None, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The same rows, a few at a time, in an order that depends on the version alone."""
        data = self._open(version).dataset(filtered=filter is not None)
        with self._storage.errors():
            yield from data.to_batches(
                columns=columns, filter=filter, batch_size=batch_rows, batch_readahead=2, fragment_readahead=1
            )

    def insert(self, rows: pa.Table) -> int:
        """Append, in one atomic commit, the rows whose keys are absent; return how many they were.

        Of rows that share a key, the first is taken.

        Raises:
            StemsError: other writers were quicker every time, or the object store does not answer.
        """
        offered = list(enumerate(key_tuples(rows, self.key)))

        def absent(newest: Version) -> CommitPlan | None:
            taken = self._keys.of(newest)
            fresh = {key: row for row, key in reversed(offered) if key not in taken}
            return CommitPlan(rows=tuple(sorted(fresh.values()))) if fresh else None

        done = self._change("insert", absent, lambda _, plan: [rows.take(pa.array(plan.rows, pa.int64()))])
        return len(done.rows) if done else 0

    def replace(self, rows: pa.Table, by: str) -> None:
        """Delete all rows whose ``by`` is among the values in ``rows``, and append ``rows``, in one atomic commit.

        Args:
            rows: no key twice.
            by: a column of the key.

        Raises:
            StemsError: other writers were quicker every time, or the object store does not answer.
        """
        if by not in self.key:
            raise ValueError(f"rows are replaced by a column of the key {self.key}, not by {by}")
        if not len(rows):
            return
        wanted = self._among(by, rows[by].unique().to_pylist())

        def content(newest: Version, plan: CommitPlan) -> Iterator[pa.Table]:
            yield rows
            yield from newest.tables(plan.removed, ~wanted)

        self._change("replace", lambda newest: CommitPlan(newest.count_matching(wanted, by)), content)

    def rewrite(self, columns: Sequence[str], now: Callable[[Values], Values | None]) -> None:
        """Change rows where they are: whole data files at a time, some thousand rows in each atomic commit.

        Other columns pass through in Arrow's memory, a few rows at a time. A job that is killed leaves whole commits,
        and the next call finds what is left. Others may write meanwhile.

        Args:
            columns: those that ``now`` reads and changes; no value of the key may change.
            now: maps a row's values in these columns (lists as tuples) to the new ones; None deletes the row.
                It must return its own results unchanged.

        Raises:
            StemsError: other writers were quicker every time, or the object store does not answer.
        """
        rewriting = Rewriting(columns, now)
        for _ in range(_ROUNDS):  # a file that others rewrote meanwhile may hold old values
            newest = self._open()
            found = self._storage.retried(partial(newest.count_where, columns, rewriting.outdated))
            if not found:
                return
            for group in few_rows(found, newest.files, _REWRITTEN_ROWS):
                self._change(
                    "rewrite",
                    partial(_present, {path: found[path] for path in group}),
                    lambda version, plan: map(rewriting.done, version.tables(plan.removed)),
                )

    def delete(self, column: str, values: Sequence[str]) -> int:
        """Delete the rows with these values, in one atomic commit; return how many they were."""
        wanted = self._among(column, values)

        def plan(newest: Version) -> CommitPlan | None:
            found = newest.count_matching(wanted, column)
            return CommitPlan(found) if found else None

        done = self._change("delete", plan, lambda newest, plan: newest.tables(plan.removed, ~wanted))
        return sum(done.removed.values()) if done else 0

    def compact(self, target_mb: float = _TARGET_MB) -> Compaction:
        """Merge small files into files of about a size, each sorted by key; rows stay what they are.

        Others may write meanwhile: what they insert stays, and what they delete is not brought back.
        """
        before = self.files()
        for group in groups_of(before, target_mb * 2**20):
            self._change("compact", partial(_merging, group), self._sorted)
        return Compaction(len(before), len(self.files()))

    def vacuum(self, hours: float = 168, dry_run: bool = False) -> list[str]:
        """Delete the files that no version of the last hours (rounded up) needs, and those of killed writers.

        Older versions can no longer be read; files that other processes are writing stay.

        Args:
            hours: versions of the last so many hours stay readable; 0 keeps only the newest.
            dry_run: delete nothing.

        Returns:
            The names of the files.
        """
        newest = self._open()
        found = self._storage.retried(partial(unneeded_files, newest, hours))
        if not dry_run:
            self._storage.retried(partial(delete_files, newest, found))
        return found

    def files(self) -> list[DataFile]:
        """The data files of the newest version."""
        return sorted(self._open().files.values(), key=lambda file: file.path)

    def readable(
        self, columns: Sequence[str], batch_rows: int, complain: Callable[[str], None]
    ) -> Iterator[pa.RecordBatch]:
        """Rows of the newest version, file by file; see :func:`pipelines.table.delta.readable.readable_rows`."""
        schema = pa.schema([self.schema.field(column) for column in columns])
        return readable_rows(self._storage, self.files(), schema, batch_rows, complain)

    def history(self) -> list[dict[str, Any]]:
        """The commits, newest first, in Delta's form; ``stems.operation`` names what each did."""
        return self._storage.retried(self._open().table.history)

    def _change(
        self,
        operation: str,
        plan: Callable[[Version], CommitPlan | None],
        content: Callable[[Version, CommitPlan], Iterable[pa.Table]],
    ) -> CommitPlan | None:
        return Change(operation, plan, content).make(self._storage, self._open, self.schema)

    def _sorted(self, newest: Version, plan: CommitPlan) -> list[pa.Table]:
        """All rows of some files, so that a row group holds a range of keys and a look-up reads few of them."""
        return [newest.dataset(plan.removed).to_table().sort_by([(column, "ascending") for column in self.key])]

    def _among(self, column: str, values: Sequence[str]) -> ds.Expression:
        return ds.field(column).isin(pa.array(values, self.schema.field(column).type))

    def _open(self, number: int | None = None) -> Version:
        version, configuration = open_version(self._storage, self.key, number)
        found = configuration.get(VERSION_KEY, "none")
        if found != str(self.schema_version):
            raise StemsError(
                f"'{self.uri}' has schema version {found}; this release reads {self.schema_version}.",
                "Prepare a new table, or use the release that wrote it.",
                code="schema",
                field="table",
            )
        return version


def _present(found: Mapping[str, int], newest: Version) -> CommitPlan | None:
    """Of files, those that are there still, and how many rows of each the change is about."""
    left = {path: count for path, count in found.items() if path in newest.files}
    return CommitPlan(left) if left else None


def _merging(group: Sequence[str], newest: Version) -> CommitPlan | None:
    """Merge the files that are there still; those that others removed meanwhile are not brought back."""
    left = {path: newest.files[path].rows for path in group if path in newest.files}
    return CommitPlan(left) if len(left) > 1 else None
