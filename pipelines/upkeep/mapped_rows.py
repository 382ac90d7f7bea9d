"""Rows that do not fit the memory, found by index: a temporary Arrow file, mapped."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa


@contextmanager
def spilled(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Write batches to a file in the system's folder for temporary files, and map it while the context lasts.

    Args:
        batches: of these columns; Arrow types that differ in width alone are cast.
        schema: of the table.
    """
    with tempfile.TemporaryDirectory(prefix="stems-") as folder:
        file = Path(folder) / "rows.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch.cast(schema))
        with pa.memory_map(str(file)) as source:
            yield pa.ipc.open_file(source).read_all()
