"""What there is to hear of a language model in training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tiny import LAYOUT, RATE, tiny_codec, tiny_lm

from models.audio.files import read_audio
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.samples import Listener
from pipelines.training.lm.song_table import SongSet, open_songs, select_songs
from pipelines.training.lm.train_lm import train_lm

STEMS = (*LAYOUT.names, "mix")


@pytest.fixture(scope="module")
def songs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> SongSet:
    return open_songs(select_songs(str(data / "tokens"), None), tmp_path_factory.mktemp("songs"))


def listener(directory: Path, seconds: float) -> Listener:
    codecs = {stem.name: tiny_codec(stem.codebooks) for stem in LAYOUT.stems}
    return Listener(tiny_lm(), codecs, seconds, 1, directory)


def test_a_song_a_prompt_whose_stems_add_up(tmp_path: Path) -> None:
    listener(tmp_path, 0.5).write_songs(["a tight groove", ""])
    written = {f"{n}-{stem}.wav" for n in (1, 2) for stem in STEMS}
    assert {file.name for file in tmp_path.iterdir()} == written | {"prompts.txt"}
    assert (tmp_path / "prompts.txt").read_text() == "1. a tight groove\n2. \n"
    sounds = {stem: torch.from_numpy(read_audio(tmp_path / f"1-{stem}.wav").samples[0]) for stem in STEMS}
    assert sounds["mix"].shape == (RATE // 2,)
    assert sounds["mix"].abs().max() > 0
    torch.testing.assert_close(sum(sounds[stem] for stem in LAYOUT.names), sounds["mix"], atol=1e-3, rtol=0)


def test_an_edit_keeps_all_stems_but_the_first(tmp_path: Path, songs: SongSet) -> None:
    listener(tmp_path, 0.5).write_edit(songs.valid[0])
    for stem in LAYOUT.names:
        before, after = (read_audio(tmp_path / f"{name}-{stem}.wav").samples for name in ("original", "edit"))
        # A loud stem may have scaled the whole song.
        alike = (before @ after.T) ** 2 / ((before @ before.T) * (after @ after.T))
        assert (alike.item() > 0.999) == (stem != "bass")


def test_samples_are_no_longer_than_a_training_example(tmp_path: Path, songs: SongSet) -> None:
    long = listener(tmp_path, 60.0)
    long.write_songs(["x"])
    long.write_edit(songs.valid[0])
    assert read_audio(tmp_path / "1-mix.wav").seconds == 60 / 50
    assert read_audio(tmp_path / "edit-mix.wav").seconds == 50 / 50


def test_a_run_leaves_samples_of_what_it_was_told_or_of_held_out_captions(data: Path, tmp_path: Path) -> None:
    tiny_lm().save(tmp_path / "start")
    settings = LMTraining(
        table=str(data / "tokens"),
        codecs=str(data / "codecs"),
        output=str(tmp_path / "run"),
        start_from=str(tmp_path / "start"),
        tracking="off",
        steps=2,
        batch=1,
        sample_every=2,
        sample_seconds=0.2,
        validation_examples=1,
    )
    train_lm(settings)
    assert (tmp_path / "run/samples/step-2/prompts.txt").read_text() == "1. song 0\n2. song 4\n"
    assert (tmp_path / "run/samples/step-2/edit-mix.wav").exists()
    again = settings.model_copy(update={"output": str(tmp_path / "again"), "sample_prompts": ("a waltz",)})
    train_lm(again)
    assert (tmp_path / "again/samples/step-2/prompts.txt").read_text() == "1. a waltz\n"
