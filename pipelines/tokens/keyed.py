"""A Delta table in which each key occurs once, whoever else is writing.

An insert reads the keys of the newest version, appends the rows whose keys are absent, and asks Delta to
commit exactly the next version. If another writer took that version, nothing was written, and the insert
starts again. (Delta's MERGE gives the same, but scans the codes of the whole table at each commit.)
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from models.errors import StemsError

_ATTEMPTS = 60
_PAUSE_S = 0.05
VERSION_KEY = "stems.schema_version"


class KeyedTable:
    """One Delta table on a local path or an object store, with a unique key.

    Args:
        uri: local path or ``s3://``; nothing needs to be there yet.
        schema: of its rows.
        key: columns that identify a row.
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
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        self._storage = dict(storage_options) if storage_options is not None else environment
        self._keys_of_file: dict[str, frozenset[tuple[str, ...]]] = {}

    def exists(self) -> bool:
        """Whether the table has been created."""
        from deltalake import DeltaTable

        return bool(DeltaTable.is_deltatable(self.uri, self._storage))

    def create(self) -> None:
        """Create the table empty; nothing happens where it exists."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        if self.exists():
            return
        try:
            DeltaTable.create(
                self.uri,
                self.schema,
                mode="error",
                configuration={VERSION_KEY: str(self.schema_version)},
                storage_options=self._storage,
                raise_if_key_not_exists=False,
            )
        except DeltaError:
            if not self.exists():  # otherwise another writer was quicker
                raise

    @property
    def version(self) -> int:
        """The newest version."""
        return int(self._open().version())

    def read(self, columns: list[str] | None = None, filter: Any = None, version: int | None = None) -> pa.Table:
        """Rows of one version (the newest by default), as of one moment.

        Raises:
            StemsError: there is no table, no such version, or its schema is of another release.
        """
        return self._dataset(self._open(version)).to_table(columns=columns, filter=filter)

    def stream(
        self, columns: list[str], filter: Any, version: int | None, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The same rows, a few at a time, in an order that is the version's own."""
        data = self._dataset(self._open(version))
        yield from data.to_batches(
            columns=columns, filter=filter, batch_size=batch_rows, batch_readahead=2, fragment_readahead=1
        )

    def insert(self, rows: pa.Table) -> int:
        """Append, in one atomic commit, the rows whose keys are absent; return how many they were.

        Of rows that share a key, the first is taken.

        Raises:
            StemsError: other writers were quicker every time.
        """
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError

        for attempt in range(_ATTEMPTS):
            table = self._open()
            fresh = self._absent(rows, table)
            if len(fresh) == 0:
                return 0
            try:
                write_deltalake(table, fresh, mode="append", commit_properties=CommitProperties(max_commit_retries=0))
            except CommitFailedError:
                time.sleep(random.uniform(0, _PAUSE_S * min(attempt + 1, 20)))
            else:
                return len(fresh)
        raise StemsError(
            f"'{self.uri}' could not be written: other jobs committed first {_ATTEMPTS} times.",
            "Run fewer jobs on one table, or let each commit more songs at a time.",
            code="busy",
        )

    def _absent(self, rows: pa.Table, table: Any) -> pa.Table:
        taken = set().union(*self._keys(table))
        fresh = []
        for row, key in enumerate(_key_tuples(rows, self.key)):
            if key not in taken:
                taken.add(key)
                fresh.append(row)
        return rows.take(pa.array(fresh, pa.int64()))

    def _keys(self, table: Any) -> list[frozenset[tuple[str, ...]]]:
        """Keys of each data file of a version; files never change, so each is read once."""
        fragments = {fragment.path: fragment for fragment in self._dataset(table).get_fragments()}
        self._keys_of_file = {
            path: self._keys_of_file[path]
            if path in self._keys_of_file
            else frozenset(_key_tuples(fragment.to_table(columns=list(self.key)), self.key))
            for path, fragment in fragments.items()
        }
        return list(self._keys_of_file.values())

    def _dataset(self, table: Any) -> Any:
        """A version's rows, unread. Local files are read by Arrow itself.

        Delta's reader lets Arrow's threads call Python; one that does so while the process ends aborts or hangs it.
        """
        local = None if "://" in self.uri else SubTreeFileSystem(str(Path(self.uri).absolute()), LocalFileSystem())
        return table.to_pyarrow_dataset(filesystem=local)

    def _open(self, version: int | None = None) -> Any:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            table = DeltaTable(self.uri, version=version, storage_options=self._storage)
        except TableNotFoundError as error:
            raise StemsError(
                f"There is no token table at '{self.uri}'.",
                "Check the path, or write one with `stems prepare`.",
                code="missing",
                field="table",
            ) from error
        except (DeltaError, OSError) as error:
            raise StemsError(
                f"'{self.uri}' cannot be opened{'' if version is None else f' at version {version}'}: {error}.",
                "Check the path and the version.",
                code="unreadable",
                field="table",
            ) from error
        self._check_schema(table)
        return table

    def _check_schema(self, table: Any) -> None:
        found = table.metadata().configuration.get(VERSION_KEY, "none")
        if found != str(self.schema_version):
            raise StemsError(
                f"'{self.uri}' has schema version {found}; this release reads {self.schema_version}.",
                "Prepare a new table, or use the release that wrote it.",
                code="schema",
                field="table",
            )


def _key_tuples(rows: pa.Table, key: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(zip(*(rows[column].to_pylist() for column in key), strict=True))
