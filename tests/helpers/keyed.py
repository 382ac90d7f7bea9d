"""A small keyed table, and what can be done to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.processes import PROCESSES

from pipelines.table.delta import commit as delta_commit
from pipelines.table.delta.commit import CommitStep
from pipelines.table.keyed_table import KeyedTable

SCHEMA = pa.schema(
    [("id", pa.string()), ("part", pa.string()), ("note", pa.string()), ("codes", pa.list_(pa.list_(pa.int16())))]
)
KEY = ("id", "part")
Content = dict[str, str]
"""What a table holds, for tests: the note of each id."""


def rows(notes: Content | Iterable[str], note: str | None = "first") -> pa.Table:
    notes = notes if isinstance(notes, dict) else dict.fromkeys(notes, note)
    return pa.table(
        {
            "id": list(notes),
            "part": ["p"] * len(notes),
            "note": list(notes.values()),
            "codes": [[[1, 2, 3], [len(name)]] for name in notes],
        },
        schema=SCHEMA,
    )


def at(uri: str | Path, storage: Mapping[str, str] | None = None) -> KeyedTable:
    table = KeyedTable(str(uri), SCHEMA, KEY, 7, storage)
    table.create()
    return table


def content(table: KeyedTable, version: int | None = None) -> Content:
    """The rows, checked to be whole and there once."""
    read = table.read(version=version).to_pylist()
    found = {row["id"]: row["note"] for row in read}
    assert len(found) == len(read)
    assert all(row["codes"] == [[1, 2, 3], [len(row["id"])]] for row in read)
    return found


def data_files(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.parquet")}


def rewritten(row: tuple[str, str]) -> tuple[str, str] | None:
    """Another note for each row; b goes."""
    return None if row[0] == "b" else (row[0], "new")


# What each operation does to a table of a, b and c, in two files.
BEFORE = dict.fromkeys("abc", "first")
OPERATIONS: dict[str, tuple[Callable[[KeyedTable], Any], Content]] = {
    "insert": (lambda table: table.insert(rows("cd", "new")), {**BEFORE, "d": "new"}),
    "replace": (lambda table: table.replace(rows("be", "new"), by="id"), {**BEFORE, "b": "new", "e": "new"}),
    "delete": (lambda table: table.delete("id", ["b", "x"]), {"a": "first", "c": "first"}),
    "rewrite": (lambda table: table.rewrite(["id", "note"], rewritten), {"a": "new", "c": "new"}),
    "compact": (lambda table: table.compact(), BEFORE),
}


def filled(uri: str | Path, storage: Mapping[str, str] | None = None) -> KeyedTable:
    table = at(uri, storage)
    for names in ("ab", "c"):
        table.insert(rows(names))
    return table


def meanwhile(monkeypatch: pytest.MonkeyPatch, step: CommitStep, rival: Callable[[], Any]) -> None:
    """Let a rival do its work as soon as a commit has passed a step, once."""

    def passed(reached: CommitStep) -> None:
        if reached == step:
            monkeypatch.undo()
            rival()

    monkeypatch.setattr(delta_commit, "passed", passed)


def _insert_all(uri: str, storage: Mapping[str, str] | None, batches: list[str]) -> int:
    table = at(uri, storage)
    return sum(table.insert(rows(batch, str(os.getpid()))) for batch in batches)


def sixteen_writers(uri: str, storage: Mapping[str, str] | None) -> None:
    """Sixteen processes insert overlapping keys, in three orders."""
    batches = ["abc", "cde", "efgh"]
    at(uri, storage)
    with PROCESSES.Pool(16) as pool:
        jobs = [(uri, storage, batches[n % 3 :] + batches[: n % 3]) for n in range(16)]
        inserted = pool.starmap(_insert_all, jobs, chunksize=1)
    assert sorted(content(at(uri, storage))) == list("abcdefgh")
    assert sum(inserted) == 8
