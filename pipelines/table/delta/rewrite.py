"""Change the values of a few columns; the other columns pass through in Arrow's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Rewriting:
    """How to change rows.

    Args:
        columns: those that ``now`` reads and changes.
        now: maps a row's values in these columns (lists as tuples) to the new ones; None deletes the row. It must
            return its own results unchanged.
    """

    columns: Sequence[str]
    now: Callable[[Values], Values | None]

    def outdated(self, rows: pa.RecordBatch) -> int:
        """How many rows would change or be deleted."""
        return sum(self.now(was) != was for was in self._values(rows))

    def done(self, rows: pa.Table) -> pa.Table:
        """The changed rows."""
        values = [self.now(was) for was in self._values(rows)]
        if any(new is None for new in values):
            rows = rows.filter(pa.array([new is not None for new in values], pa.bool_()))
        kept = [new for new in values if new is not None]
        for place, name in enumerate(self.columns):
            field = rows.schema.field(name)
            column = pa.array([new[place] for new in kept], field.type)
            rows = rows.set_column(rows.schema.get_field_index(name), field, column)
        return rows

    def _values(self, rows: pa.Table | pa.RecordBatch) -> list[Values]:
        return list(zip(*(_column(rows[name]) for name in self.columns), strict=True))


def _column(values: pa.Array | pa.ChunkedArray) -> list[Any]:
    found = values.to_pylist()
    return [tuple(each) for each in found] if pa.types.is_list(values.type) else found
