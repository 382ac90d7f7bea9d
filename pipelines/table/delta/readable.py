"""Read a table's data files one by one, so that a broken file is named and the others are still checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.table.delta.commit import DataFile
from pipelines.table.delta.storage import DeltaStorage


def readable_rows(
    storage: DeltaStorage,
    files: Iterable[DataFile],
    schema: pa.Schema,
    batch_rows: int,
    complain: Callable[[str], None],
) -> Iterator[pa.RecordBatch]:
    """The rows of some data files, a few at a time.

    Args:
        storage: where the files lie.
        files: to read.
        schema: the columns to read, and their types.
        batch_rows: the most rows of a batch.
        complain: called for each file that cannot be read to its end, or has other rows than its commit declared.
    """
    for file in files:
        rows = 0
        try:
            with storage.filesystem.open_input_file(file.path) as source:
                for batch in pq.ParquetFile(source).iter_batches(batch_rows, columns=schema.names):
                    rows += len(batch)
                    yield batch.select(schema.names).cast(schema)
        except (pa.ArrowException, ValueError, KeyError, OSError) as error:
            complain(f"{storage.uri}/{file.path}: {error}")
            continue
        if rows != file.rows:
            complain(f"{storage.uri}/{file.path}: {rows} rows, not {file.rows}")
