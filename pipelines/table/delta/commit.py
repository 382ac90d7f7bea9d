"""One commit of a Delta table, step by step.

Data files are written first, under names that nothing refers to; then one log entry names them. That entry is
the commit: it is written whole or not at all, and only where no other writer's entry is. A writer that dies before
that entry leaves files that no reader sees and that a vacuum deletes; one that dies after it has committed.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem

CHECKPOINT_EVERY = 32
"""Versions between checkpoints of the log, so that opening a table reads at most so many entries."""

_NAME = "stems.name"
_OPERATION = "stems.operation"
_FILE_BYTES = 256 * 2**20  # a data file this large is complete
_GROUP_ROWS, _GROUP_BYTES = 512, 64 * 2**20


class CommitStep(StrEnum):
    """Where a commit can be when its process dies, in order."""

    PLANNED = "planned"
    FILE_BEGUN = "data file begun"
    FILE_WRITTEN = "data file written"
    LOGGED = "log entry written"
    CHECKPOINTED = "checkpoint written"  # every CHECKPOINT_EVERY versions
    ACKNOWLEDGED = "acknowledged"


COMMIT_STEPS = tuple(CommitStep)


def passed(step: CommitStep) -> None:
    """Called after each step; tests let the process die here."""


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of a table: its name, rows, bytes, and Delta's statistics of it as JSON."""

    path: str
    rows: int
    bytes: int
    stats: str = ""


def write_files(
    tables: Iterable[pa.Table], filesystem: FileSystem, schema: pa.Schema, key: Sequence[str]
) -> list[DataFile]:
    """Write rows as Parquet files that no reader sees yet; an empty list where there are none.

    Args:
        tables: the rows, in pieces.
        filesystem: with the table's folder at its root.
        schema: of the rows.
        key: columns whose bounds are recorded, so that readers can skip files.
    """
    files = []
    groups = _row_groups(tables, schema)
    group = next(groups, None)
    while group is not None:
        path = f"part-{uuid.uuid4()}.parquet"
        written = []
        with _whole(filesystem, path), filesystem.open_output_stream(path) as sink:
            flat = [field.name for field in schema if not pa.types.is_nested(field.type)]
            with pq.ParquetWriter(sink, schema, compression="zstd", write_statistics=flat) as writer:
                passed(CommitStep.FILE_BEGUN)
                while group is not None and sink.tell() < _FILE_BYTES:
                    writer.write_table(group)
                    written.append(group.select(list(key)))
                    group = next(groups, None)
            size = sink.tell()
        keys = pa.concat_tables(written)
        files.append(DataFile(path, len(keys), size, _stats(keys)))
    passed(CommitStep.FILE_WRITTEN)
    return files


def commit(table: Any, name: str, operation: str, added: Sequence[DataFile], removed: Sequence[DataFile]) -> bool:
    """Add and remove data files in one commit, as the version after ``table``'s, or do nothing at all.

    Returns:
        Whether the commit was made. If not, that version exists already: see :func:`landed`.

    Raises:
        DeltaError, OSError: the storage failed, or its answer was lost: see :func:`landed`.
    """
    from deltalake import CommitProperties, PostCommitHookProperties
    from deltalake.exceptions import CommitFailedError, DeltaError
    from deltalake.transaction import AddAction, RemoveAction

    data_change = operation != "compact"
    now = int(time.time() * 1000)
    actions = [AddAction(file.path, file.bytes, {}, now, data_change, file.stats) for file in added]
    actions += [RemoveAction(file.path, data_change, now, file.bytes, {}) for file in removed]
    version = table.version() + 1
    try:
        table.create_write_transaction(
            actions,
            "append",
            table.schema(),
            commit_properties=CommitProperties({_NAME: name, _OPERATION: operation}, max_commit_retries=0),
            post_commithook_properties=PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False),
        )
    except CommitFailedError:
        return False
    passed(CommitStep.LOGGED)
    if version % CHECKPOINT_EVERY == 0:
        with suppress(DeltaError, OSError):  # without it, readers are only slower
            table.update_incremental()
            table.create_checkpoint()
            passed(CommitStep.CHECKPOINTED)
    return True


def landed(filesystem: FileSystem, version: int, name: str) -> bool:
    """Whether a version is the commit of this name.

    A client whose answer was lost tries again and finds that the version exists, perhaps by its own first try.
    """
    try:
        with filesystem.open_input_stream(f"_delta_log/{version:020}.json") as entry:
            return name in entry.read().decode()
    except FileNotFoundError:
        return False


@contextmanager
def _whole(filesystem: FileSystem, path: str) -> Iterator[None]:
    """Delete a half-written file when the disk is full: the next try needs its room."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            filesystem.delete_file(path)
        raise


def _row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows in row groups of a size that suits readers."""
    waiting: list[pa.Table] = []
    for table in tables:
        for start in range(0, len(table), _GROUP_ROWS):
            waiting.append(table.slice(start, _GROUP_ROWS).select(schema.names).cast(schema))
            if sum(map(len, waiting)) >= _GROUP_ROWS or sum(piece.nbytes for piece in waiting) >= _GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _stats(keys: pa.Table) -> str:
    bounds = {name: pc.min_max(keys[name]).as_py() for name in keys.column_names}
    return json.dumps(
        {
            "numRecords": len(keys),
            "minValues": {name: bound["min"] for name, bound in bounds.items()},
            "maxValues": {name: bound["max"] for name, bound in bounds.items()},
            "nullCount": {name: keys[name].null_count for name in keys.column_names},
        }
    )
