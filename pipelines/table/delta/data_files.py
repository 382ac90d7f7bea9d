"""One version of a Delta table as data files: which they are, their rows, their keys.

(Delta's own ``to_pyarrow_dataset`` takes a millisecond per file to turn the log's statistics into expressions.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import FileSystem

from pipelines.table.delta.commit import DataFile

FILES_AT_A_TIME = 32
"""Files that Arrow reads ahead when it reads a few columns of each."""


@dataclass(frozen=True)
class Version:
    """An opened version; only its log has been read.

    Args:
        table: the ``deltalake.DeltaTable``.
        filesystem: with the table's folder at its root.
        key: the columns whose bounds the log records.
    """

    table: Any
    filesystem: FileSystem
    key: tuple[str, ...]

    @property
    def number(self) -> int:
        """Number of the version."""
        return int(self.table.version())

    @cached_property
    def paths(self) -> frozenset[str]:
        """Names of the data files."""
        return frozenset(self._listed["path"].to_pylist())

    @cached_property
    def files(self) -> dict[str, DataFile]:
        """The data files by their names."""
        rows = self._listed.select(["path", "num_records", "size_bytes"]).to_pylist()
        return {row["path"]: DataFile(*row.values()) for row in rows}

    def dataset(self, paths: Collection[str] | None = None, filtered: bool = False) -> ds.Dataset:
        """The rows, unread.

        Args:
            paths: only rows of these files.
            filtered: the caller will filter, so attach the bounds of keys, by which files can be skipped.
        """
        kind = ds.ParquetFileFormat(default_fragment_scan_options=ds.ParquetFragmentScanOptions(pre_buffer=True))
        chosen = sorted(self.paths if paths is None else paths)
        bounds = self._bounds if filtered else {}
        fragments = [kind.make_fragment(path, self.filesystem, bounds.get(path)) for path in chosen]
        return ds.FileSystemDataset(fragments, pa.schema(self.table.schema().to_arrow()), kind, self.filesystem)

    def count_matching(self, matching: ds.Expression, column: str) -> dict[str, int]:
        """How many rows of each file match a filter on ``column``; files without any are left out."""
        counts: dict[str, int] = {}
        scanner = self.dataset(filtered=True).scanner(
            columns=[column], filter=matching, fragment_readahead=FILES_AT_A_TIME
        )
        for batch in scanner.scan_batches():
            counts[batch.fragment.path] = counts.get(batch.fragment.path, 0) + batch.record_batch.num_rows
        return {path: count for path, count in sorted(counts.items()) if count}

    def count_where(self, columns: Sequence[str], test: Callable[[pa.RecordBatch], int]) -> dict[str, int]:
        """How many rows of each file pass a test of some columns; ``test`` counts those of a batch."""
        counts: dict[str, int] = {}
        scanner = self.dataset().scanner(columns=list(columns), fragment_readahead=FILES_AT_A_TIME)
        for batch in scanner.scan_batches():
            counts[batch.fragment.path] = counts.get(batch.fragment.path, 0) + test(batch.record_batch)
        return {path: count for path, count in sorted(counts.items()) if count}

    def tables(self, paths: Collection[str], matching: ds.Expression | None = None) -> Iterator[pa.Table]:
        """The matching rows of some files, all by default, a few at a time."""
        for batch in self.dataset(paths).to_batches(filter=matching, batch_readahead=2, fragment_readahead=1):
            yield pa.Table.from_batches([batch])

    @cached_property
    def _listed(self) -> pa.Table:
        return pa.table(self.table.get_add_actions(flatten=True))

    @cached_property
    def _bounds(self) -> dict[str, ds.Expression]:
        """Bounds of each file's key columns, as expressions, without columns that have nulls or no statistics."""
        between: dict[tuple[str, str, str], ds.Expression] = {}  # most files share their separator's and codecs'
        terms: dict[str, list[ds.Expression]] = {}
        for column in self.key:
            wanted = ["path", f"min.{column}", f"max.{column}", f"null_count.{column}"]
            if not set(wanted) <= set(self._listed.column_names):
                continue
            for path, least, greatest, nulls in zip(
                *(self._listed[name].to_pylist() for name in wanted), strict=True
            ):
                if least is None or greatest is None or nulls != 0:
                    continue
                bound = (column, least, greatest)
                if bound not in between:
                    between[bound] = (ds.field(column) >= least) & (ds.field(column) <= greatest)
                terms.setdefault(path, []).append(between[bound])
        return {path: reduce(and_, found) for path, found in terms.items()}


def groups_of(files: Iterable[DataFile], target_bytes: float) -> list[list[str]]:
    """Group files to about the target size; a large file, and one that would be alone, is in no group."""
    groups: list[list[str]] = [[]]
    size = 0
    for file in files:
        if file.bytes > target_bytes / 2:
            continue
        if size + file.bytes > target_bytes:
            groups.append([])
            size = 0
        groups[-1].append(file.path)
        size += file.bytes
    return [group for group in groups if len(group) > 1]


def few_rows(paths: Iterable[str], files: Mapping[str, DataFile], most: int) -> list[list[str]]:
    """Group files to at most so many rows; a file with more is a group by itself."""
    groups: list[list[str]] = []
    rows = most
    for path in paths:
        if rows + files[path].rows > most:
            groups.append([])
            rows = 0
        groups[-1].append(path)
        rows += files[path].rows
    return groups


def key_tuples(rows: pa.Table | pa.RecordBatch, key: Sequence[str]) -> list[tuple[str, ...]]:
    """Each row's key."""
    return list(zip(*(rows[column].to_numpy(zero_copy_only=False) for column in key), strict=True))


class KnownKeys:
    """The keys of a table's newest version. Files never change, so each is read once."""

    def __init__(self) -> None:
        self._of_file: dict[str, list[tuple[str, ...]]] = {}
        self._all: set[tuple[str, ...]] = set()

    def of(self, version: Version) -> set[tuple[str, ...]]:
        """All keys of a version."""
        gone, new = self._of_file.keys() - version.paths, version.paths - self._of_file.keys()
        for path in gone:
            del self._of_file[path]
        if gone:
            self._all = set().union(*self._of_file.values())
        if new:
            self._read(version, new)
        return self._all

    def _read(self, version: Version, paths: Collection[str]) -> None:
        scanner = version.dataset(paths).scanner(columns=list(version.key), fragment_readahead=FILES_AT_A_TIME)
        found: dict[str, list[tuple[str, ...]]] = {path: [] for path in paths}
        for batch in scanner.scan_batches():
            found[batch.fragment.path] += key_tuples(batch.record_batch, version.key)
        self._of_file |= found  # only after all files were read
        self._all.update(*found.values())
