"""Which stems there are is a setting: the road from songs to songs, with stems other than the paper's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiny import noise, tiny_codec, tiny_separator

import cli
from models.audio.files import Audio, write_audio
from models.lm.language_model import LMConfig
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.edit import Edit
from models.song.source import Source
from models.stems import StemLayout

# The order in which htdemucs and htdemucs_6s give their sources.
FOUR = ("drums", "bass", "other", "vocals")
SIX = (*FOUR, "guitar", "piano")

SECONDS = 1.5


def stems(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def put_catalog(folder: Path) -> Path:
    """Six songs: a tone in noise, each of its own."""
    time = np.arange(round(SECONDS * 44_100)) / 44_100
    for number in range(6):
        tone = 0.2 * np.sin(2 * np.pi * (80 + 30 * number) * time).astype(np.float32)
        wave = tone + noise(SECONDS, 44_100, 2, seed=number, level=0.05).samples
        folder.mkdir(exist_ok=True)
        write_audio(folder / f"song {number}.wav", Audio(wave, 44_100))
    return folder


def prepare(root: Path, layout: StemLayout, sources: tuple[str, ...]) -> None:
    """Make models and songs, and the table of their tokens."""
    for index, stem in enumerate(layout.stems):
        tiny_codec(stem.codebooks, seed=index).save(root / "codecs" / stem.name)
    tiny_separator(root / "separator", sources)
    # A random separator hears voices everywhere.
    heard = ["--vocal_threshold", 1, "--min_seconds", 1, "--valid_share", 0.5, "--actors", 1]
    models = ["--separator", root / "separator", "--codecs", root / "codecs", "--layout", layout]
    stems("prepare", "--catalog", put_catalog(root / "catalog"), "--table", root / "tokens", *models, *heard)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "delays", "sources"),
    [
        pytest.param("bass:1,drums:1,guitar:1,other:2", [0, 0, 0, 0, 1], SIX, id="four"),
        pytest.param("bass:2,drums:1,other:4", [0, 1, 0, 0, 1, 2, 3], FOUR, id="7cb"),
        pytest.param(
            "drums:1,bass:1,other:2,vocals:1,guitar:1,piano:1",
            [0, 0, 0, 1, 0, 0, 0],
            SIX,
            id="six",
        ),
    ],
)
def test_a_layout_is_a_setting_from_prepare_to_edit(
    ray_local: Any, tmp_path: Path, text: str, delays: list[int], sources: tuple[str, ...]
) -> None:
    layout = StemLayout.parse(text)
    prepare(tmp_path, layout, sources)
    few = ["--steps", 2, "--batch", 2, "--validation_examples", 1, "--warmup_steps", 0, "--tracking", "off"]
    data = ["--table", tmp_path / "tokens", "--codecs", tmp_path / "codecs", "--preset", "tiny"]
    stems("train", "lm", *data, "--output", tmp_path / "lm", *few)
    config = LMConfig.load(tmp_path / "lm" / "model")
    assert (str(config.layout), list(config.layout.delays)) == (text, delays)

    parts = ["--lm", tmp_path / "lm" / "model", "--codecs", tmp_path / "codecs"]
    stems("assemble", *parts, "--separator", tmp_path / "separator", "--output", tmp_path / "model")
    stems("generate", "--model", tmp_path / "model", "--seconds", 0.5, "--seed", 1, "--output", tmp_path / "song")
    names = {f"{name}.wav" for name in (*layout.names, "mix")}
    assert {file.name for file in (tmp_path / "song").glob("*.wav")} == names

    last = layout.names[-1]
    given = {name: Source(noise(0.4, seed=index)) for index, name in enumerate(layout.names)}
    edited = Assembly.load(tmp_path / "model").edit(given, Edit([last]), sampling=Sampling(seed=2))
    for name in layout.names:
        assert np.array_equal(edited.stems[name], given[name].sound.samples[0]) == (name != last), name

    mixed = tmp_path / "catalog" / "song 0.wav"
    stems(
        "edit",
        "--model",
        tmp_path / "model",
        "--song",
        mixed,
        "--regenerate",
        f"[{last}]",
        "--output",
        tmp_path / "edit",
    )
    # A mixed song keeps what it holds beside the stems.
    assert {file.name for file in (tmp_path / "edit").glob("*.wav")} == names | {"rest.wav"}
