"""`stems prepare plan`: what it says a run would do is what the run would do, and it writes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.catalogued import put_table

from models.audio.files import Audio, encode_audio
from pipelines.table.schema import StemsRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PlanConfig, PrepareConfig
from pipelines.tokens.estimate import estimate
from pipelines.tokens.resolve import resolve_prepare


def noise(seed: int, seconds: float = 1.2) -> Audio:
    samples = np.random.default_rng(seed).standard_normal((2, int(seconds * 44100)))
    return Audio((0.1 * samples).astype(np.float32), 44100)


def put_songs(folder: Path, songs: int) -> None:
    folder.mkdir(exist_ok=True)
    for k in range(songs):
        (folder / f"{k}.wav").write_bytes(encode_audio(noise(k)))


def settings(models: Any, root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "catalog": str(root / "songs"),
        "table": str(root / "table"),
        "separator": models.separator,
        "codecs": models.codecs,
        "vocal_threshold": 1.0,
        "min_seconds": 1.0,
        **changes,
    }


def keep_stems(table: TokenTable, folder: Path, separator: str) -> None:
    """Rows of kept stems for every song; the files are left out."""
    names = ("bass", "drums", "other")
    songs = table.rows(columns=["song_id"])["song_id"].to_pylist()
    table.commit_stems(
        [
            StemsRow(song, separator, str(folder / song), names, 32000, 10.0, 0.1, (-20.0,) * 3, -20.0)
            for song in songs
        ]
    )


def test_an_estimate_says_what_would_run_and_writes_nothing(tiny_models: Any, tmp_path: Path) -> None:
    put_songs(tmp_path / "songs", 4)
    (tmp_path / "songs" / "3.json").write_text('{"tags": ["rap"]}')
    kept = {"keep_stems": str(tmp_path / "stems")}
    said = estimate(
        PlanConfig(**settings(tiny_models, tmp_path, **kept), sample=2, workers=[1, 4], price_per_hour=2.0)
    )
    assert (said.files, said.settled, said.to_read, said.to_tokenize) == (4, 1, 3, 3)
    assert said.hours == pytest.approx(3 * 1.2 / 3600, rel=0.01)
    assert said.speed.songs == 2
    assert set(said.speed.by_stage) == {"inspect", "decode", "listen", "separate", "encode"}
    assert said.wall_hours[1] == pytest.approx(4 * said.wall_hours[4]) == pytest.approx(said.worker_hours)
    assert said.price == pytest.approx(2 * said.worker_hours)
    assert {path.name for path in tmp_path.iterdir()} == {"songs"}


def test_an_estimate_with_kept_stems_separates_every_song_that_has_only_tokens(
    tiny_models: Any, tmp_path: Path
) -> None:
    put_songs(tmp_path / "songs", 2)
    put_table(PrepareConfig(**settings(tiny_models, tmp_path)))
    assert estimate(PlanConfig(**settings(tiny_models, tmp_path), sample=1)).to_tokenize == 0
    said = estimate(PlanConfig(**settings(tiny_models, tmp_path, keep_stems=str(tmp_path / "stems")), sample=1))
    assert (said.files, said.settled, said.to_read, said.to_tokenize) == (2, 0, 0, 2)
    assert said.hours == pytest.approx(2 * 10.0 / 3600)  # lengths as the table has them
    assert said.worker_hours > 0


def test_an_estimate_makes_kept_stems_again_whose_files_are_gone(tiny_models: Any, tmp_path: Path) -> None:
    put_songs(tmp_path / "songs", 2)
    config = PrepareConfig(**settings(tiny_models, tmp_path, keep_stems=str(tmp_path / "stems")))
    keep_stems(put_table(config), tmp_path / "stems", resolve_prepare(config).identity.separator)
    said = estimate(PlanConfig(**config.model_dump(), sample=1))
    assert (said.settled, said.to_tokenize) == (0, 2)


def test_songs_with_kept_stems_cost_no_separation(tiny_models: Any, tmp_path: Path) -> None:
    put_songs(tmp_path / "songs", 2)
    config = PrepareConfig(**settings(tiny_models, tmp_path))
    keep_stems(put_table(config), tmp_path / "stems", resolve_prepare(config).identity.separator)
    other = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
    shutil.rmtree(other / "bass")
    shutil.copytree(other / "drums", other / "bass")
    said = estimate(PlanConfig(**{**config.model_dump(), "codecs": str(other)}, sample=1))
    assert said.to_tokenize == 2
    assert said.worker_hours == pytest.approx(said.hours * said.speed.by_stage["encode"])
