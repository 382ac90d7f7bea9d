"""Vacuuming: what versions need stays, and so does what others are about to commit."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

import pytest
from helpers.keyed import BEFORE, at, content, data_files, filled, meanwhile, rows

from models.errors import StemsError
from pipelines.table.delta.commit import CommitStep


def test_versions_within_the_hours_stay_readable(tmp_path: Path) -> None:
    table = filled(tmp_path)
    version = table.version
    table.compact()
    assert table.vacuum(1) == []
    assert content(table, version) == BEFORE
    gone = table.vacuum(0, dry_run=True)
    assert len(gone) == 2
    assert content(table, version) == BEFORE
    assert table.vacuum(0) == gone
    assert content(table) == BEFORE
    assert table.version == version + 1
    with pytest.raises(StemsError, match="Vacuuming"):
        table.read(version=version)


def test_files_of_killed_writers_go_when_they_are_old(tmp_path: Path) -> None:
    table = filled(tmp_path)
    old, young = (tmp_path / f"part-{uuid.uuid4()}.parquet" for _ in range(2))
    for left in (old, young):
        left.write_bytes(b"PAR1")
    os.utime(old, times=(time.time() - 2 * 3600,) * 2)
    assert table.vacuum(168) == []
    assert table.vacuum(0) == [old.name]
    assert data_files(tmp_path) == {young.name, *(file.path for file in table.files())}


def test_files_of_others_stay_however_old_they_are(tmp_path: Path) -> None:
    table = filled(tmp_path)
    for name in ("notes.txt", "my-songs.parquet", "train-000000.tar"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, times=(0, 0))
    assert table.vacuum(0) == []
    assert (tmp_path / "my-songs.parquet").read_text() == "mine"


def test_what_another_writer_is_about_to_commit_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, other = filled(tmp_path), at(tmp_path)
    table.delete("id", ["b"])
    removed: list[str] = []
    meanwhile(monkeypatch, CommitStep.FILE_WRITTEN, lambda: removed.extend(other.vacuum(0)))
    assert table.insert(rows("d")) == 1
    assert len(removed) == 1
    assert sorted(content(table)) == ["a", "c", "d"]
