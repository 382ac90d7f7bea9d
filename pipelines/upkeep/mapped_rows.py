"""Rows that do not fit into memory, read by index: a temporary Arrow file, mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa


@contextmanager
def mapped_rows(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Write batches to a file in the system's folder for temporary files, and map it while the context lasts.

    Args:
        batches: rows with the columns of the schema; Arrow types that differ only in width are cast.
        schema: of the mapped table.
    """
    with tempfile.TemporaryDirectory(prefix="stems-") as folder:
        file = Path(folder) / "rows.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.cast(schema))
        with pa.memory_map(str(file)) as source:
            yield pa.ipc.open_file(source).read_all()
