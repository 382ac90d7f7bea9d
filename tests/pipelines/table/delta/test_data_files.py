"""Data files: those that cannot matter are not opened."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from helpers.keyed import at, data_files, rows

from models.errors import StemsError
from pipelines.table.delta.commit import DataFile
from pipelines.table.delta.data_files import groups_of
from pipelines.table.keyed_table import KeyedTable


@pytest.fixture
def table(tmp_path: Path) -> KeyedTable:
    return at(tmp_path / "table")


def test_a_filter_on_the_key_opens_only_files_that_may_hold_it(table: KeyedTable, tmp_path: Path) -> None:
    table.insert(rows("bd"))
    table.insert(rows("eg"))
    before = {file.path for file in table.files()}
    table.insert(rows("ca"))
    for path in before:
        (tmp_path / "table" / path).unlink()
    assert table.read(["id"], ds.field("id") == "a")["id"].to_pylist() == ["a"]
    assert table.read(["id"], ds.field("id") == "h")["id"].to_pylist() == []
    assert table.delete("id", ["a"]) == 1
    with pytest.raises(StemsError):
        table.read(["id"], ds.field("id") == "b")


def test_a_file_whose_keys_are_not_all_known_is_opened(table: KeyedTable) -> None:
    table.insert(rows("a").set_column(1, "part", pa.array([None], pa.string())))
    table.insert(pa.concat_tables([rows("b"), rows("c").set_column(1, "part", pa.array([None], pa.string()))]))
    assert table.read(["id"], ds.field("part").is_null())["id"].sort().to_pylist() == ["a", "c"]


def test_keys_of_other_writers_are_read_once(table: KeyedTable, tmp_path: Path) -> None:
    at(table.uri).insert(rows("ab"))
    assert table.insert(rows("ac")) == 1
    assert table.insert(rows("d")) == 1
    assert table.insert(rows("d")) == 0
    for path in data_files(tmp_path / "table"):
        (tmp_path / "table" / path).rename(tmp_path / path)
    assert table.insert(rows("acd")) == 0


def test_groups_are_of_small_files_and_no_larger_than_the_target() -> None:
    sizes = {"a": 30, "b": 60, "c": 40, "d": 50, "e": 20, "f": 1, "g": 99, "h": 80}
    files = [DataFile(path, 1, size) for path, size in sizes.items()]
    assert groups_of(files, 100) == [["a", "c"], ["d", "e", "f"]]
    assert groups_of(files[:2], 100) == groups_of([], 100) == []
