"""Commits: whole or not at all, whoever else writes, dies, or gives no answer."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.keyed import (
    BEFORE,
    OPERATIONS,
    at,
    content,
    data_files,
    filled,
    meanwhile,
    rows,
    sixteen_writers,
)
from helpers.processes import PROCESSES

from models.errors import StemsError
from pipelines.table.delta import change as delta_change
from pipelines.table.delta import commit as delta_commit
from pipelines.table.delta import vacuum as delta_vacuum
from pipelines.table.delta.commit import COMMIT_STEPS, CommitStep
from pipelines.table.keyed_table import KeyedTable


@pytest.fixture
def table(tmp_path: Path) -> KeyedTable:
    return at(tmp_path / "table")


@pytest.mark.parametrize("step", [CommitStep.PLANNED, CommitStep.FILE_WRITTEN])
@pytest.mark.parametrize("rival", OPERATIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_rival_in_between_is_as_a_rival_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, rival: str, step: CommitStep
) -> None:
    in_turn = filled(tmp_path / "in turn")
    for name in (rival, operation):
        OPERATIONS[name][0](in_turn)
    table, other = filled(tmp_path / "table"), at(tmp_path / "table")
    version = table.version
    meanwhile(monkeypatch, step, lambda: OPERATIONS[rival][0](other))
    OPERATIONS[operation][0](table)
    assert content(table) == content(in_turn)
    assert table.version > version
    assert other.history()[-4]["stems.operation"] == rival


def test_what_is_written_is_not_written_again_where_a_rival_changed_nothing(
    table: KeyedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, CommitStep.FILE_WRITTEN, lambda: at(table.uri).insert(rows("z")))
    assert table.insert(rows("ab")) == 2
    assert data_files(tmp_path / "table") == {file.path for file in table.files()}


def _dying(uri: str, operation: str, step: CommitStep) -> None:
    def passed(reached: CommitStep) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    table = at(uri)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta_commit, "passed", passed)
        patch.setattr(delta_commit, "CHECKPOINT_EVERY", 1)
        OPERATIONS[operation][0](table)


@pytest.mark.parametrize("step", COMMIT_STEPS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_writer_killed_at_any_step_has_done_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, step: CommitStep
) -> None:
    table = filled(tmp_path)
    version = table.version
    process = PROCESSES.Process(target=_dying, args=(table.uri, operation, step))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    work, after = OPERATIONS[operation]
    done = COMMIT_STEPS.index(step) >= COMMIT_STEPS.index(CommitStep.LOGGED)
    assert table.version == version + done
    assert content(table) == (after if done else BEFORE)
    work(table)
    assert content(table) == after
    monkeypatch.setattr(delta_vacuum, "WRITING_S", 0)
    table.vacuum(0)
    assert data_files(tmp_path) == {file.path for file in table.files()}
    assert content(table) == after


def test_sixteen_processes_insert_each_key_once(tmp_path: Path) -> None:
    sixteen_writers(str(tmp_path / "table"), None)


def _inserting(uri: str, name: str) -> None:
    table = at(uri)
    for number in range(8):
        table.insert(rows([f"{name}{number}", f"shared{number}"]))


def _deleting(uri: str) -> None:
    for number in range(6):
        at(uri).delete("id", [f"old{number}"])


def _replacing(uri: str) -> None:
    for number in range(6):
        at(uri).replace(rows({"kept": f"{number}"}), by="id")


def _compacting(uri: str) -> None:
    for _ in range(6):
        at(uri).compact()


def test_inserts_deletions_replacements_and_compactions_at_once_lose_and_double_nothing(table: KeyedTable) -> None:
    for name in ["kept", *(f"old{number}" for number in range(6))]:
        table.insert(rows([name]))
    jobs: list[tuple[Callable[..., None], tuple[str, ...]]] = [
        (_inserting, (table.uri, "i")),
        (_inserting, (table.uri, "j")),
        (_deleting, (table.uri,)),
        (_replacing, (table.uri,)),
        (_compacting, (table.uri,)),
    ]
    processes = [PROCESSES.Process(target=work, args=arguments) for work, arguments in jobs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 5
    inserted = {f"{name}{number}": "first" for name in ("i", "j", "shared") for number in range(8)}
    assert content(table) == {**inserted, "kept": "5"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_commit_whose_answer_is_lost_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    from deltalake import DeltaTable

    table = filled(tmp_path)
    version = table.version
    commit = DeltaTable.create_write_transaction

    def loses_the_answer(*arguments: Any, **named: Any) -> None:
        commit(*arguments, **named)
        raise OSError("timed out")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", loses_the_answer)
    work, after = OPERATIONS[operation]
    assert work(table) == 1 or operation in ("replace", "rewrite", "compact")
    assert content(table) == after
    assert table.version == version + 1


def test_a_commit_that_fails_names_the_table_and_can_be_run_again(
    table: KeyedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deltalake import DeltaTable

    def fails(*_: Any, **__: Any) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(delta_change, "_PAUSE_S", 0)

    with monkeypatch.context() as broken:
        broken.setattr(DeltaTable, "create_write_transaction", fails)
        with pytest.raises(StemsError, match=r"table'.*disk is full"):
            table.insert(rows("a"))
    assert content(table) == {}
    assert table.insert(rows("a")) == 1


def test_the_log_is_summed_up_and_kept(table: KeyedTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_commit, "CHECKPOINT_EVERY", 2)
    for name in "abcde":
        table.insert(rows(name))
    log = tmp_path / "table" / "_delta_log"
    assert '"delta.enableExpiredLogCleanup":"false"' in (log / f"{0:020}.json").read_text()
    assert json.loads((log / "_last_checkpoint").read_text())["version"] == 4
    assert content(table, 1) == {"a": "first"}
    (log / f"{1:020}.json").unlink()  # opening does not read what is summed up
    assert content(at(table.uri)) == dict.fromkeys("abcde", "first")
