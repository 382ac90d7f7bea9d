"""A Delta table in which each key occurs once, whoever else is writing.

Every change is planned on the newest version and committed as exactly the next one. If another writer took that
version, nothing happened, and the change is planned again on what is there now. (Delta's MERGE gives the same, but
scans the codes of the whole table at each commit.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from models.errors import StemsError
from pipelines.table.delta.change import Change, Plan
from pipelines.table.delta.commit import CHECKPOINT_EVERY, DataFile
from pipelines.table.delta.data_files import FILES_AT_A_TIME, KnownKeys, Version, few_rows, groups_of, key_tuples
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
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        def found() -> bool:
            try:  # `is_deltatable` would keep all threads of Python waiting for an object store
                DeltaTable(self.uri, storage_options=self._storage.options, without_files=True)
            except TableNotFoundError:
                return False
            return True

        return self._storage.retried(found)

    def create(self) -> None:
        """Create the table empty; nothing happens where it exists."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if self.exists():
            return
        configuration = {
            VERSION_KEY: str(self.schema_version),
            "delta.checkpointInterval": str(CHECKPOINT_EVERY),
            # Readers take a column without statistics to be null everywhere, unless told to expect none.
            "delta.dataSkippingStatsColumns": ",".join(self.key),
            "delta.enableExpiredLogCleanup": "false",  # a version can be read until a vacuum takes its files
        }

        def make() -> None:
            try:
                DeltaTable.create(
                    self.uri,
                    self.schema,
                    mode="error",
                    configuration=configuration,
                    storage_options=self._storage.options,
                    raise_if_key_not_exists=False,
                )
            except DeltaError:
                if not self.exists():  # otherwise another writer was quicker
                    raise

        self._storage.retried(make)

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
        """The same rows, a few at a time, in an order that is the version's own."""
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

        def absent(newest: Version) -> Plan | None:
            taken = self._keys.of(newest)
            fresh = {key: row for row, key in reversed(offered) if key not in taken}
            return Plan(rows=tuple(sorted(fresh.values()))) if fresh else None

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

        def content(newest: Version, plan: Plan) -> Iterator[pa.Table]:
            yield rows
            yield from newest.tables(plan.removed, ~wanted)

        self._change("replace", lambda newest: Plan(newest.count_matching(wanted, by)), content)

    def rewrite(self, columns: Sequence[str], now: Callable[[Values], Values | None]) -> None:
        """Change rows where they are: whole data files at a time, some thousand rows in each atomic commit.

        Other columns pass through in Arrow's memory, a few rows at a time. A job that is killed leaves whole commits,
        and the next call finds what is left. Others may write meanwhile.

        Args:
            columns: by which rows are changed, and which are; no value of the key may change.
            now: a row's values in these columns (lists as tuples) to what they become; None where the row goes.
                Asked about what it gave, it gives the same.

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

        def plan(newest: Version) -> Plan | None:
            found = newest.count_matching(wanted, column)
            return Plan(found) if found else None

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
        """Delete the files that no version of the last hours (rounded up) needs, those of killed writers too.

        Versions before that can no longer be read; what others are writing meanwhile stays.

        Args:
            hours: within which each version shall stay readable; 0 for the newest alone.
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

    def history(self) -> list[dict[str, Any]]:
        """The commits, newest first, as Delta tells them; ``stems.operation`` says what each was."""
        return self._storage.retried(self._open().table.history)

    def _change(
        self,
        operation: str,
        plan: Callable[[Version], Plan | None],
        content: Callable[[Version, Plan], Iterable[pa.Table]],
    ) -> Plan | None:
        return Change(operation, plan, content).make(self._storage, self._open, self.schema)

    def _sorted(self, newest: Version, plan: Plan) -> list[pa.Table]:
        """All rows of some files, so that a row group holds a range of keys and a look-up reads few of them."""
        return [newest.dataset(plan.removed).to_table().sort_by([(column, "ascending") for column in self.key])]

    def _among(self, column: str, values: Sequence[str]) -> ds.Expression:
        return ds.field(column).isin(pa.array(values, self.schema.field(column).type))

    def _open(self, version: int | None = None) -> Version:
        from deltalake import DeltaTable

        options = self._storage.options
        table = self._storage.retried(lambda: DeltaTable(self.uri, version, options), version)
        found = table.metadata().configuration.get(VERSION_KEY, "none")
        if found != str(self.schema_version):
            raise StemsError(
                f"'{self.uri}' has schema version {found}; this release reads {self.schema_version}.",
                "Prepare a new table, or use the release that wrote it.",
                code="schema",
                field="table",
            )
        return Version(table, self._storage.filesystem, self.key)


def _present(found: Mapping[str, int], newest: Version) -> Plan | None:
    """Of files, those that are there still, and how many rows of each the change is about."""
    left = {path: count for path, count in found.items() if path in newest.files}
    return Plan(left) if left else None


def _merging(group: Sequence[str], newest: Version) -> Plan | None:
    """Merge the files that are there still; those that others removed meanwhile are not brought back."""
    left = {path: newest.files[path].rows for path in group if path in newest.files}
    return Plan(left) if len(left) > 1 else None
