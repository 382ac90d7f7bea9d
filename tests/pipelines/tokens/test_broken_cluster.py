"""A cluster that takes work and cannot give it back: no song is to blame, however few there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clusters import cluster_of, start_command

from models.audio.files import Audio, write_audio
from pipelines.table.token_table import TokenTable


@pytest.mark.slow
def test_a_driver_that_a_cluster_does_not_trust_blames_no_song(
    tiny_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for k in (1, 2):
        sound = 0.1 * np.random.default_rng(k).standard_normal((2, 60_000))
        write_audio(tmp_path / "songs" / f"{k}.wav", Audio(sound.astype(np.float32), 44_100))
    words = ["prepare", "--catalog=songs", "--table=table", "--min_seconds=1", "--threads=1", "--vocal_threshold=1"]
    words += [f"--separator={tiny_models.separator}", f"--codecs={tiny_models.codecs}"]
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with cluster_of(1, 2) as nodes:
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
        driver = start_command(*words, address=nodes.address, folder=tmp_path)
        said = driver.communicate(timeout=100)[1]
        table = TokenTable(str(tmp_path / "table"))
        assert driver.returncode == 2, said
        assert "stems: The cluster" in said
        assert len(table.quarantine()) == 0
