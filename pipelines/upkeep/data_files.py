"""A table's data files read one by one, so that a broken one is named and the others are still checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.table.delta.storage import DeltaStorage
from pipelines.table.keyed_table import KeyedTable


def readable_rows(
    table: KeyedTable, columns: Sequence[str], batch_rows: int, complain: Callable[[str], None]
) -> Iterator[pa.RecordBatch]:
    """Rows of the newest version, a few at a time.

    Args:
        table: that is read.
        columns: of it.
        batch_rows: the most rows at a time.
        complain: told of each file that cannot be read to its end, or has other rows than its commit declared.
    """
    schema = pa.schema([table.schema.field(column) for column in columns])
    filesystem = DeltaStorage(table.uri).filesystem
    for file in table.files():
        rows = 0
        try:
            with filesystem.open_input_file(file.path) as source:
                for batch in pq.ParquetFile(source).iter_batches(batch_rows, columns=list(columns)):
                    rows += len(batch)
                    yield batch.select(list(columns)).cast(schema)
        except (pa.ArrowException, ValueError, KeyError, OSError) as error:
            complain(f"{table.uri}/{file.path}: {error}")
            continue
        if rows != file.rows:
            complain(f"{table.uri}/{file.path}: {rows} rows, not {file.rows}")
