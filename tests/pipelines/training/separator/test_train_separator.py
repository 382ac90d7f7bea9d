"""Training a separator: it learns, its batches are pure functions of the step, and what it exports opens."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models.audio.files import Audio, write_audio
from models.presets import SEPARATOR_SIZES
from models.separation import Separator
from models.separation.vocals import DEFAULT_THRESHOLD, best_threshold
from pipelines.training.loop.recipe import Place
from pipelines.training.separator.config import SeparatorTraining
from pipelines.training.separator.train_separator import SeparatorRecipe, train_separator

RATE = 44100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six songs of low bass, bursts of noise, a middle tone, and in half of them a warbling voice."""
    root = tmp_path_factory.mktemp("multitracks")
    time = np.arange(RATE) / RATE
    for k in range(6):
        draw = np.random.default_rng(k)
        stems = {
            "bass": np.sin(2 * np.pi * draw.uniform(50, 80) * time),
            "drums": draw.standard_normal(len(time)) * np.exp(-20 * (time % 0.5)),
            "other": np.sin(2 * np.pi * draw.uniform(400, 500) * time),
        }
        if k % 2:
            stems["vocals"] = np.sin(2 * np.pi * 1500 * time + 20 * np.sin(2 * np.pi * 5 * time))
        for name, wave in stems.items():
            write_audio(root / str(k) / f"{name}.flac", Audio(0.2 * np.stack([wave, wave]).astype(np.float32), RATE))
    return root


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    size = dataclasses.replace(SEPARATOR_SIZES["tiny"], channels=8, segment=0.25)
    monkeypatch.setitem(SEPARATOR_SIZES, "tiny", size)


def config(folder: Path, output: Path, **changes: object) -> SeparatorTraining:
    settings = {"steps": 60, "batch": 2, "learning_rate": 5e-3, "held_out": 2, "tracking": "off"} | changes
    return SeparatorTraining(data=str(folder), output=str(output), preset="tiny", **settings)


def test_a_separator_learns_and_its_export_opens(folder: Path, tmp_path: Path) -> None:
    result = train_separator(config(folder, tmp_path))
    first, last = result.history[0], result.final
    for stem in ("bass", "other"):
        assert last[f"valid/sdr/{stem}"] > first[f"valid/sdr/{stem}"] + 2
        assert last[f"valid/sdr/{stem}"] > last[f"valid/sdr_of_mix/{stem}"] + 2
    separator = Separator.load(result.directory)
    assert separator.vocal_threshold == pytest.approx(last["valid/vocal_threshold"], rel=0.01)
    assert separator.sources == SEPARATOR_SIZES["tiny"].sources


def test_workers_share_a_batch_without_overlap(folder: Path, tmp_path: Path) -> None:
    recipe = SeparatorRecipe(config(folder, tmp_path, batch=4))
    recipe.prepare(Place(0, 1, torch.device("cpu")))

    def loss(step: int, *indices: int) -> float:
        return float(recipe.loss(recipe.module, step, indices)[0].detach())

    whole, halves = loss(7, 0, 1, 2, 3), [loss(7, 0, 2), loss(7, 1, 3)]
    assert loss(7, 0, 1, 2, 3) == whole
    assert loss(8, 0, 1, 2, 3) != whole
    assert np.mean(halves) == pytest.approx(whole, rel=1e-4)
    assert halves[0] != halves[1]


class HearsVoices(Separator):
    """Knows the voice of these songs by the energy around it."""

    def __init__(self) -> None:
        self.heard = 0

    def vocal_score(self, songs: Sequence[np.ndarray]) -> list[float]:
        self.heard += len(songs)
        voice = slice(800, 2500)  # one second: a bin is a hertz
        return [0.9 if np.abs(np.fft.rfft(song[0], RATE)[voice]).max() > 100 else 0.1 for song in songs]


def test_the_threshold_parts_held_out_songs_from_themselves_without_vocals(folder: Path, tmp_path: Path) -> None:
    quiet = shutil.copytree(folder, tmp_path / "songs")
    for song in quiet.glob("*"):  # drums sound at every frequency, where the voice is too
        write_audio(song / "drums.flac", Audio(np.full((2, RATE), 0.01, np.float32), RATE))
    recipe = SeparatorRecipe(config(quiet, tmp_path))
    recipe.prepare(Place(0, 1, torch.device("cpu")))
    ears = HearsVoices()
    assert recipe._vocal_threshold(ears) == (pytest.approx(0.3), 1.0)
    assert ears.heard == 4  # one of two has a voice: it is laid over both, and both are heard without it


def test_thresholds_part_the_songs() -> None:
    threshold, accuracy = best_threshold([0.001, 0.004, 0.01], [0.09, 0.2, 0.4])
    assert (threshold, accuracy) == (pytest.approx(0.03), 1.0)
    threshold, accuracy = best_threshold([0.001, 0.002, 0.003, 0.5], [0.3, 0.3, 0.3, 0.3])
    assert (threshold, accuracy) == (pytest.approx(0.03), 0.875)
    assert best_threshold([], [0.5]) == (DEFAULT_THRESHOLD, 0.0)
