"""A keyed table: each key once, each change whole, at any version."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from helpers.keyed import BEFORE, KEY, OPERATIONS, SCHEMA, Content, at, content, filled, meanwhile, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StemsError
from pipelines.table.delta.commit import CommitStep
from pipelines.table.keyed_table import KeyedTable


@pytest.fixture
def table(tmp_path: Path) -> KeyedTable:
    return at(tmp_path / "table")


def test_a_key_goes_in_once_and_the_first_row_wins(table: KeyedTable) -> None:
    twice = pa.concat_tables([rows({"a": "1", "b": "1"}), rows({"a": "2"})])
    assert table.insert(twice) == 2
    assert table.insert(rows({"b": "3", "c": "3"})) == 1
    version = table.version
    assert table.insert(rows({"b": "4", "c": "4"})) == 0
    assert at(table.uri).insert(rows({"c": "5"})) == 0
    assert table.version == version
    assert content(table) == {"a": "1", "b": "1", "c": "3"}


def test_one_key_has_many_parts(table: KeyedTable) -> None:
    assert table.insert(rows("a")) == 1
    assert table.insert(rows("a").set_column(1, "part", pa.array(["q"]))) == 1
    assert sorted(table.read(["id", "part"]).to_pylist(), key=str) == [
        {"id": "a", "part": "p"},
        {"id": "a", "part": "q"},
    ]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_is_one_commit_and_says_what_it_was(tmp_path: Path, operation: str) -> None:
    table = filled(tmp_path)
    version = table.version
    work, after = OPERATIONS[operation]
    work(table)
    assert content(table) == after
    assert content(table, version) == BEFORE
    assert table.version == version + 1
    assert table.history()[0]["stems.operation"] == operation


def test_deleting_says_how_many_and_commits_nothing_where_none_match(table: KeyedTable) -> None:
    table.insert(rows({"a": "x", "b": "x", "c": "y"}))
    version = table.version
    assert table.delete("note", ["z"]) == 0
    assert table.version == version
    assert table.delete("note", ["x", "z"]) == 2
    assert content(table) == {"c": "y"}


def test_what_was_deleted_can_come_back_and_what_was_merged_is_there_still(table: KeyedTable) -> None:
    assert table.insert(rows("ab")) == 2
    assert table.insert(rows("ab")) == 0
    table.delete("id", ["a"])
    assert table.insert(rows("ab")) == 1
    table.compact()
    assert table.insert(rows("abc")) == 1
    assert sorted(content(table)) == list("abc")


def test_rows_without_a_value_outlive_a_deletion(table: KeyedTable) -> None:
    table.insert(pa.concat_tables([rows("a", None), rows("b")]))
    assert table.delete("note", ["first"]) == 1
    assert table.read(["id"])["id"].to_pylist() == ["a"]


def test_rewriting_sees_the_rows_as_they_are_when_it_commits(
    table: KeyedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.insert(rows({"a": "1", "b": "1", "c": "1"}))
    rival = partial(at(table.uri).replace, rows({"a": "2"}), by="id")
    meanwhile(monkeypatch, CommitStep.FILE_WRITTEN, rival)

    def shout(row: tuple[str, str]) -> tuple[str, str] | None:
        return (row[0], row[1].removesuffix("!") + "!") if row[0] == "a" else None if row[0] == "c" else row

    table.rewrite(["id", "note"], shout)
    assert content(table) == {"a": "2!", "b": "1"}
    version = table.version
    table.rewrite(["id", "note"], shout)
    assert table.version == version
    with pytest.raises(ValueError, match="note"):
        table.replace(rows("a"), by="note")


operations = st.one_of(
    st.tuples(
        st.sampled_from(["insert", "replace"]), st.dictionaries(st.sampled_from("abcdef"), st.text("xyz"), max_size=4)
    ),
    st.tuples(st.just("delete"), st.lists(st.sampled_from("abcdef"), max_size=3)),
    st.tuples(st.sampled_from(["compact", "vacuum", "other writer"]), st.none()),
)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(operations, max_size=9))
def test_any_row_of_operations_does_what_it_would_to_a_dictionary(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]]
) -> None:
    table = at(tmp_path_factory.mktemp("model"))
    model: Content = {}
    for operation, what in steps:
        if operation == "insert":
            assert table.insert(rows(what)) == len(what.keys() - model.keys())
            model = {**what, **model}
        elif operation == "replace":
            table.replace(rows(what), by="id")
            model |= what
        elif operation == "delete":
            assert table.delete("id", what) == len(model.keys() & set(what))
            model = {name: note for name, note in model.items() if name not in what}
        elif operation == "compact":
            table.compact()
        elif operation == "vacuum":
            table.vacuum(0)
        else:
            table = at(table.uri)
        assert content(table) == model


def test_what_is_asked_wrongly_is_named(table: KeyedTable, tmp_path: Path) -> None:
    def codes(work: Callable[[], Any]) -> str:
        with pytest.raises(StemsError) as raised:
            work()
        return raised.value.code

    table.insert(rows("a"))
    table.delete("id", ["a"])
    table.vacuum(0)
    assert codes(lambda: table.read(version=1)) == "vacuumed"
    assert codes(lambda: table.read(version=99)) == "unreadable"
    assert codes(lambda: KeyedTable(str(tmp_path / "none"), SCHEMA, KEY, 7).version) == "missing"
    assert codes(lambda: KeyedTable(table.uri, SCHEMA, KEY, 8).read()) == "schema"
    assert codes(lambda: KeyedTable("ftp://host/table", SCHEMA, KEY, 7)) == "invalid"


def test_compacting_merges_small_files_and_leaves_large_ones(table: KeyedTable) -> None:
    for name in "dacb":
        table.insert(rows(name))
    done = table.compact()
    assert (done.before, done.after) == (4, 1)
    assert table.read(["id"])["id"].to_pylist() == list("abcd")
    version = table.version
    assert table.compact().after == 1
    table.insert(rows("e"))
    assert table.compact(target_mb=1e-3).after == 2
    assert table.version == version + 1


def test_rows_come_a_few_at_a_time(table: KeyedTable) -> None:
    table.insert(rows("abcde"))
    batches = list(table.stream(["id"], ds.field("id") != "b", None, 2))
    assert [name for batch in batches for name in batch["id"].to_pylist()] == list("acde")
    assert max(map(len, batches)) == 2


def test_a_table_travels_between_processes(table: KeyedTable) -> None:
    table.insert(rows("a"))
    assert content(pickle.loads(pickle.dumps(table))) == {"a": "first"}


def test_polars_reads_a_table(table: KeyedTable) -> None:
    polars = pytest.importorskip("polars")
    table.insert(rows("abc"))
    table.delete("id", ["b"])
    read = polars.scan_delta(table.uri).filter(polars.col("id") != "c").collect()
    assert read.to_dicts() == rows("a").to_pylist()


def test_duckdb_reads_a_tables_files_and_its_rows(table: KeyedTable) -> None:
    duckdb = pytest.importorskip("duckdb")
    table.insert(rows("abc"))
    table.delete("id", ["b"])
    files = [f"{table.uri}/{file.path}" for file in table.files()]
    assert duckdb.sql(
        "select id, codes[1][3] from read_parquet($files) order by id", params={"files": files}
    ).fetchall() == [
        ("a", 3),
        ("c", 3),
    ]
    connection = duckdb.connect()
    connection.register("songs", table.read())
    assert connection.sql("select count(*), sum(len(codes)) from songs").fetchall() == [(2, 4)]
