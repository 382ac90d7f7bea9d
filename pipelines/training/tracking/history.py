"""The metrics of a run: one JSON object per line in ``<output>/metrics.jsonl``.

A row's ``step`` is the number of steps done when it was written; validation metrics start with ``valid/``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class History:
    """The rows of one run, in memory and on disk. With ``path`` None they stay in memory."""

    def __init__(self, path: Path | None, rows: list[Row]) -> None:
        self.path, self.rows = path, rows

    @classmethod
    def resume(cls, path: Path, step: int) -> History:
        """Open the history of a run that continues after ``step`` steps: later rows are dropped.

        A run that starts at step 0 starts with an empty history.
        """
        rows = [row for row in read_history(path) if step > 0 and row["step"] <= step]
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        fresh.replace(path)
        return cls(path, rows)

    def append(self, row: Row) -> None:
        """Add one row."""
        self.rows.append(row)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def read_history(path: Path) -> list[Row]:
    """All rows on disk. A last line cut short by a killed run is left out."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def latest(rows: list[Row]) -> Row:
    """The newest value of every metric."""
    return {name: value for row in rows for name, value in row.items()}
