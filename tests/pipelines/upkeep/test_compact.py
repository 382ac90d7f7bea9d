"""`stems table compact` and `vacuum`: the same rows in fewer files, and nothing that nobody reads."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from helpers.tables import shown

from models.errors import StemsError
from pipelines.table.schema import TABLES
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.compact import compact, vacuum
from pipelines.upkeep.config import CompactConfig, VacuumConfig


def test_rows_stay_and_files_become_one(table: TokenTable) -> None:
    before, pinned = table.rows().sort_by("song_id"), table.version
    report = compact(CompactConfig(table=table.root))
    assert (report.tables["tokens"].before, report.tables["tokens"].after) == (2, 1)
    assert set(report.tables) == set(TABLES)
    assert table.rows().sort_by("song_id").equals(before)
    assert len(table.rows(version=pinned)) == 6
    assert "tokens" in shown(report)


def test_files_of_earlier_versions_go_when_they_are_old_enough(table: TokenTable) -> None:
    pinned = table.version
    compact(CompactConfig(table=table.root))
    assert vacuum(VacuumConfig(table=table.root)).files["tokens"] == []  # a week has not passed
    told = vacuum(VacuumConfig(table=table.root, hours=0, dry_run=True))
    assert len(told.files["tokens"]) == 2
    assert len(table.rows(version=pinned)) == 6
    assert vacuum(VacuumConfig(table=table.root, hours=0)).files == told.files
    assert len(table.rows()) == 6
    with pytest.raises(StemsError):
        table.rows(version=pinned)
    assert "2 files" in shown(told)


def age(path: Path, hours: float) -> Path:
    for part in (*path.rglob("*"), path):
        os.utime(part, (time.time() - hours * 3600,) * 2)
    return path


def test_unfinished_stems_go_when_they_are_old_enough(table: TokenTable) -> None:
    stems = Path(table.root).parent / "stems"
    song = next(stems.iterdir())
    left = [song / ".bass.flac.1a.partial", stems / ".song.7.partial"]
    left[0].write_bytes(b"half")
    left[1].mkdir()
    (left[1] / "drums.flac").write_bytes(b"whole")
    fresh = stems / ".song.8.partial"
    fresh.mkdir()
    for path in left:
        age(path, 3)
    (fresh / "bass.flac").write_bytes(b"being written")
    os.utime(fresh, (time.time() - 3 * 3600,) * 2)  # the folder is old, what is in it is not
    kept = {path for path in stems.rglob("*") if ".partial" not in str(path)}
    told = vacuum(VacuumConfig(table=table.root, hours=2, dry_run=True))
    assert sorted(told.stems) == sorted(map(str, left))
    assert all(path.exists() for path in left)
    assert sorted(vacuum(VacuumConfig(table=table.root, hours=2)).stems) == sorted(told.stems)
    assert {path for path in stems.rglob("*") if ".partial" not in str(path)} == kept
    assert not any(path.exists() for path in left)
    assert fresh.exists()
