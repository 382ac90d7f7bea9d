"""Jobs on several nodes, each with a raylet of its own: they run with defaults, and nodes may go and come.

Three nodes on one machine show that everything has a place and that nothing is lost; they show no speed-up.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clusters import cluster_of, start_command
from helpers.tables import keyed

from models.audio.files import Audio, encode_audio
from pipelines.table.schema import TABLES
from pipelines.table.token_table import TokenTable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SONGS = 16
NOISE = ("state-dump", "constructor arguments", "heartbeats", "authentication", "raylet", "Traceback")
"""Words of what Ray prints of itself."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    rng = np.random.default_rng(3)
    for k in range(SONGS):
        time_ = np.arange(int(rng.uniform(1.5, 3) * 22050)) / 22050
        tone = np.sin(2 * np.pi * rng.uniform(60, 900) * time_)
        sound = Audio((0.3 * tone + 0.02 * rng.standard_normal((2, len(time_)))).astype(np.float32), 22050)
        (folder / f"{k:02}.flac").write_bytes(encode_audio(sound, "flac"))
    (folder / "bad.wav").write_bytes(b"RIFF, and no more")
    return folder


def words(models: Any, catalog: Path, table: Path, **settings: object) -> list[str]:
    given: dict[str, object] = {"catalog": catalog, "table": table, "separator": models.separator}
    given |= {"codecs": models.codecs, "vocal_threshold": 1, "songs_per_batch": 1, "commit_songs": 4}
    given |= {"min_seconds": 1, **settings}
    return ["prepare", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


def rows(table: Path) -> dict[str, list[str]]:
    """Every row of every table, as text, in an order of its own."""
    found = TokenTable(str(table))
    tables = {name: found.read(name).to_pylist() for name in TABLES if keyed(found, name).exists()}
    return {name: sorted(json.dumps(row, default=str) for row in all_rows) for name, all_rows in tables.items()}


def until(what: Callable[[], bool], job: subprocess.Popen[str]) -> None:
    while not what():
        assert job.poll() is None, job.communicate()
        time.sleep(0.1)


def ended_well(job: subprocess.Popen[str]) -> str:
    """What it said on stderr; nothing of Ray's own is on its screen."""
    out, said = job.communicate(timeout=400)
    assert job.returncode == 0, said
    assert not [word for word in NOISE if word in out + said], said
    return said


@pytest.fixture(scope="module")
def one_node(tiny_models: Any, catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("one node")
    with cluster_of(1, 2) as nodes:
        ended_well(
            start_command(*words(tiny_models, catalog, folder / "table"), address=nodes.address, folder=folder)
        )
    found = rows(folder / "table")
    assert (len(found["tokens"]), len(found["quarantine"])) == (SONGS, 1)
    return found


@pytest.mark.parametrize(("count", "cpus"), [(3, 2), (2, 3)])
def test_prepare_runs_on_several_nodes_with_its_defaults(
    tiny_models: Any, catalog: Path, one_node: dict[str, list[str]], tmp_path: Path, count: int, cpus: int
) -> None:
    with cluster_of(count, cpus) as nodes:
        command = words(tiny_models, catalog, tmp_path / "table")
        said = ended_well(start_command(*command, address=nodes.address, folder=tmp_path))
    assert rows(tmp_path / "table") == one_node
    assert f"tokenize: {SONGS} of {SONGS} songs" in said
    [log] = (tmp_path / "table" / "reports").glob("*.log")
    assert f"tokenize: {SONGS} of {SONGS} songs" in log.read_text()


def test_a_node_that_is_killed_and_one_that_joins_change_no_row(
    tiny_models: Any, catalog: Path, one_node: dict[str, list[str]], tmp_path: Path
) -> None:
    tokens = keyed(TokenTable(str(tmp_path / "table")), "tokens")
    with cluster_of(3, 2) as nodes:
        command = words(tiny_models, catalog, tmp_path / "table")
        job = start_command(*command, address=nodes.address, folder=tmp_path)
        until(lambda: tokens.exists() and len(tokens.read(["song_id"])) >= 4, job)
        nodes.kill(nodes.nodes[0])
        nodes.join(2)
        said = ended_well(job)
    assert rows(tmp_path / "table") == one_node
    assert said.count("lost node") == 1
    assert said.count("joined") == 1
