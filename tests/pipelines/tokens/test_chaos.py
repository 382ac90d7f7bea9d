"""What is killed loses nothing and doubles nothing: workers, drivers, and a writer at every step of a commit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from helpers.processes import PROCESSES
from helpers.rows import catalog_row, song_row
from helpers.tables import keyed

from models.audio.files import Audio, encode_audio
from pipelines.table.delta import commit as delta_commit
from pipelines.table.delta.commit import COMMIT_STEPS, CommitStep
from pipelines.table.keyed_table import KeyedTable
from pipelines.table.schema import TABLES, DroppedRow, QuarantineRow, StemsRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.run.writer import Writer
from pipelines.upkeep.config import VerifyConfig
from pipelines.upkeep.verify import verify

SONGS = 200
KILL_EVERY_S = 5.0
MOST_KILLS = 8
"""Workers of one driver that die: each takes seconds to come back, and the job has to end some day."""
KEYS = {
    "tokens": "song_id",
    "catalog": "fingerprint",
    "dropped": "fingerprint",
    "quarantine": "fingerprint",
    "stems": "song_id",
}


def write_catalog(root: Path) -> None:
    """Two hundred songs, some of them twice, some sung by their tags, some no songs."""
    root.mkdir()
    rng = np.random.default_rng(0)
    for k in range(SONGS):
        time_ = np.arange(int(rng.uniform(0.5, 1.1) * 22050)) / 22050
        tone = np.sin(2 * np.pi * rng.uniform(60, 900) * time_) * np.exp(-3 * time_)
        sound = Audio((0.3 * tone + 0.02 * rng.standard_normal((2, len(time_)))).astype(np.float32), 22050)
        (root / f"{k:03}.flac").write_bytes(encode_audio(sound, "flac"))
        if k % 25 == 0:
            (root / f"{k:03} again.wav").write_bytes(encode_audio(sound))
        if k % 40 == 3:
            (root / f"{k:03}.json").write_text('{"tags": ["singing"]}')
    for k in range(6):
        (root / f"bad {k}.wav").write_bytes(rng.bytes(500 * k))


def arguments(models: Any, songs: Path, table: Path) -> list[str]:
    settings: dict[str, Any] = {
        "catalog": songs,
        "table": table,
        "separator": models.separator,
        "codecs": models.codecs,
        "keep_stems": table.with_name(f"{table.name}-stems"),
        "vocal_threshold": 0.1182,  # this separator has learned nothing, and finds half of them sung
        "min_seconds": 0.45,
        "commit_songs": 10,
        "commit_seconds": 2,
    }
    return ["prepare", *(word for name, value in settings.items() for word in (f"--{name}", str(value)))]


def start(models: Any, songs: Path, table: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "cli", *arguments(models, songs, table)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_a_worker(driver: subprocess.Popen[bytes], rng: random.Random) -> int:
    """SIGKILL for one of a driver's Ray workers, whatever it does; how many died."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        try:
            title = "".join(process.cmdline()[:1])
            # Agents belong to the node: without one it is gone, and the driver with it.
            if title.startswith("ray::") and "Agent" not in title:
                found.append(process)
        except psutil.Error:
            continue
    if found:
        rng.choice(sorted(found, key=lambda process: process.pid)).kill()
    return min(1, len(found))


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes], meanwhile: Callable[[], int]) -> int:
    """Wait until something holds or the driver ends, doing something every few seconds; the sum of what that gave."""
    total, due = 0, time.monotonic() + KILL_EVERY_S
    while driver.poll() is None and not what():
        time.sleep(0.2)
        if time.monotonic() > due and total < MOST_KILLS:
            total += meanwhile()
            due = time.monotonic() + KILL_EVERY_S
    return total


def contents(table: TokenTable, root: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row, in an order of its own, without the table's own place."""
    found = {}
    for name, key in KEYS.items():
        rows = table.read(name).to_pylist()
        for row in rows:
            if name == "stems":
                row["folder"] = Path(row["folder"]).name
        found[name] = sorted(rows, key=lambda row: (row[key], row.get("separator") or ""))
    return found


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_kills_change_no_row(tiny_models: Any, tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    write_catalog(songs)
    calm = start(tiny_models, songs, tmp_path / "calm")
    assert calm.wait() == 0, calm.stderr and calm.stderr.read()[-3000:]

    rng, table = random.Random(7), TokenTable(str(tmp_path / "chaos"))
    killed = 0
    for kind, enough in (("catalog", 60), ("tokens", 40), ("tokens", 10**9)):
        driver = start(tiny_models, songs, tmp_path / "chaos")

        def far_enough(kind: str = kind, enough: int = enough) -> bool:
            rows = keyed(table, kind)
            return rows.exists() and len(rows.read(["fingerprint"])) >= enough

        killed += wait_for(far_enough, driver, lambda driver=driver: kill_a_worker(driver, rng))  # type: ignore[misc]
        if driver.poll() is None:
            children = psutil.Process(driver.pid).children(recursive=True)
            driver.kill()
            psutil.wait_procs(children, timeout=60)
    assert driver.returncode == 0, driver.stderr and driver.stderr.read()[-3000:]
    assert killed >= 5

    expected, found = (contents(TokenTable(str(tmp_path / name)), tmp_path) for name in ("calm", "chaos"))
    assert len(expected["catalog"]) == SONGS + 8 - 5
    assert len(expected["tokens"]) > SONGS // 4
    assert {row["decided_by"] for row in expected["dropped"]} == {"tag:singing", "score"}
    assert {row["reason"] for row in expected["quarantine"]} >= {"duplicate", "empty", "unreadable"}
    for name in KEYS:
        assert found[name] == expected[name], name
    report = verify(VerifyConfig(table=table.root))
    assert report.exit_code == 0, report
    kept = {folder.name for folder in (tmp_path / "chaos-stems").iterdir()}
    assert kept == {row["folder"] for row in expected["stems"]}


POINTS = tuple(product([name for name in TABLES if name != "removed"], COMMIT_STEPS))


def commit_all(root: str, die_at: tuple[str, CommitStep] | None) -> None:
    """One commit of a writer with rows for every table; the process kills itself at one step of one table's."""
    table = TokenTable(root)
    current = ""
    insert = KeyedTable.insert

    def noted(table: KeyedTable, rows: Any) -> int:
        nonlocal current
        current = Path(table.uri).name
        return insert(table, rows)

    KeyedTable.insert = noted  # type: ignore[method-assign, assignment]

    def passed(step: CommitStep) -> None:
        if (current, step) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    delta_commit.passed = passed
    writer = Writer(table, PrepareConfig(catalog="", table=root, separator="", codecs="", commit_songs=99))
    for k in range(3):
        song = song_row(k, "bass=1,drums=1,other=1", "train")
        writer.add(catalog_row(song))
        writer.add(StemsRow(song.song_id, "s", f"/{k}", ("bass",), 32000, 1.0, 0.0, (-20.0,), -12.0))
        writer.add(song)
        writer.add(DroppedRow(song.fingerprint, song.song_id, song.uri, "", (), 1.0, "s", 0.9, "score"))
        writer.add(QuarantineRow(song.uri, song.fingerprint, "empty", "nothing", "", "", "", "5-9 s"))
    writer.flush_and_check()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), POINTS)
def test_a_writer_killed_at_any_step_leaves_each_row_once(name: str, step: CommitStep, tmp_path: Path) -> None:
    root = str(tmp_path / "table")
    table = TokenTable(root)
    table.create()
    for die_at in ((name, step), None):
        process = PROCESSES.Process(target=commit_all, args=(root, die_at))
        process.start()
        process.join()
        if die_at and step is not CommitStep.CHECKPOINTED:  # a new table has no checkpoint to write
            assert process.exitcode == -signal.SIGKILL
            for other in TABLES:
                assert len(table.read(other)) in (0, 3)
        else:
            assert process.exitcode == 0
    for other in TABLES:
        expected = [] if other == "removed" else ["song-0", "song-1", "song-2"]
        column = KEYS.get(other, "song_id")
        assert sorted(table.read(other)[column].to_pylist()) == (
            expected if column == "song_id" else [name.removeprefix("song-") for name in expected]
        )
    for file in Path(root).glob("*/*.parquet"):
        os.utime(file, (0, 0))  # what is young and has no log entry may be another writer's
    table.vacuum(hours=0)
    for other in TABLES:
        named = {Path(file.path).name for file in keyed(table, other).files()}
        assert {file.name for file in Path(root, other).glob("*.parquet")} == named
