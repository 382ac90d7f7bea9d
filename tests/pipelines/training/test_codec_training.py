"""Training a codec on stems: which crops it sees, and that it learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from models.audio import Audio, write_audio
from models.codec import CodecSize, StemCodec
from models.errors import StemsError
from models.presets import CODEC_SIZES
from pipelines.training.codec import CodecRecipe, train_codec
from pipelines.training.codec_config import CodecTraining
from pipelines.training.stems import StemCrops, find_stems, hold_out, is_silent

RATE = 32_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs of plucked notes at two rates, and one without the stem."""
    root = tmp_path_factory.mktemp("stems")
    for song in range(4):
        rate = (44_100, RATE)[song % 2]
        time = np.arange(4 * rate) / rate
        pluck = np.exp(-6 * (time % 0.5)) * np.sin(2 * np.pi * (80 + 40 * song) * time)
        both = np.stack([0.5 * pluck, 0.3 * pluck]).astype(np.float32)
        write_audio(root / f"song {song}" / "bass.flac", Audio(both, rate))
    write_audio(root / "without" / "drums.wav", Audio(np.zeros((1, RATE), np.float32), RATE))
    return root


def settings(folder: Path, output: Path, **changes: Any) -> CodecTraining:
    fields: dict[str, Any] = {"steps": 40, "batch": 4, "learning_rate": 5e-3, "crop_seconds": 0.25, "seed": 1}
    fields |= {"codebooks": 2, "preset": "tiny", "held_out": 0.25, "codebook_decay": 0.9, "tracking": "off"}
    return CodecTraining(stems=str(folder), output=str(output), stem="bass", **(fields | changes))


@pytest.fixture(autouse=True)
def small_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    size = CodecSize(filters=2, latent=8, cardinality=16, lstm_layers=1, ratios=(4, 4, 5, 8))
    monkeypatch.setitem(CODEC_SIZES, "tiny", size)
    monkeypatch.setattr("pipelines.training.codec.EXCERPTS", 2)
    monkeypatch.setattr("pipelines.training.codec.EXCERPT_SECONDS", 1.0)


def test_a_codec_learns(folder: Path, tmp_path: Path) -> None:
    result = train_codec(settings(folder, tmp_path))
    before, after = result.history[0], result.final
    assert before["step"] == 0
    assert after["valid/mel_distance"] < 0.5 * before["valid/mel_distance"]
    assert 1 <= after["valid/perplexity_2"] <= after["valid/used_codes_2"] <= 16
    assert after["valid/mel_distance"] < after["valid/mel_distance_of_silence"]
    codec = StemCodec.load(result.directory)
    assert codec.codebooks == 2
    assert all(layer.codebook.inited.item() == 1 for layer in codec.network.quantizer.layers)


def test_a_resumed_codec_is_the_codec_that_was_not_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_codec(settings(folder, tmp_path / "whole", steps=6, checkpoint_every=2))
    loss = CodecRecipe.loss

    def stop(self: CodecRecipe, module: nn.Module, step: int, indices: Sequence[int]) -> Any:
        if step == 3:
            raise KeyboardInterrupt
        return loss(self, module, step, indices)

    with monkeypatch.context() as patched:
        patched.setattr(CodecRecipe, "loss", stop)
        with pytest.raises(KeyboardInterrupt):
            train_codec(settings(folder, tmp_path / "stopped", steps=6, checkpoint_every=2))
    resumed = train_codec(settings(folder, tmp_path / "stopped", steps=6, checkpoint_every=2))
    first, second = (StemCodec.load(result.directory).state_dict() for result in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_codebooks_follow_the_encoder(folder: Path, tmp_path: Path) -> None:
    books = []
    for decay in (0.5, 0.99):
        result = train_codec(settings(folder, tmp_path / str(decay), steps=1, codebook_decay=decay))
        codec = StemCodec.load(result.directory)
        books.append(codec.network.quantizer.layers[0].codebook.embed)
    assert not torch.equal(books[0], books[1])


def test_another_stem_does_not_continue_the_run(folder: Path, tmp_path: Path) -> None:
    train_codec(settings(folder, tmp_path, steps=1))
    with pytest.raises(StemsError, match="stem='bass'") as caught:
        train_codec(settings(folder, tmp_path, steps=1).model_copy(update={"stem": "drums"}))
    assert caught.value.field == "stem"


def test_songs_are_split_by_name_and_stay_where_they_are(folder: Path) -> None:
    files = find_stems(folder, "bass")
    assert [file.song for file in files] == [f"song {number}" for number in range(4)]
    learn, keep = hold_out(files, 0.25)
    assert len(learn) == 3
    assert len(keep) == 1
    assert hold_out(files[::-1], 0.25) == (learn, keep)
    assert {file.song for file in learn + keep} == {file.song for file in files}
    assert len(hold_out(files, 0.01)[1]) == 1
    assert len(hold_out(files, 0.99)[0]) == 1


def test_missing_stems_are_named(folder: Path) -> None:
    with pytest.raises(StemsError, match="'kazoo'") as caught:
        find_stems(folder, "kazoo")
    assert caught.value.field == "stems"
    with pytest.raises(StemsError, match="one song only, 'without'"):
        hold_out(find_stems(folder, "drums"), 0.1)


def test_crops_are_a_function_of_seed_step_and_index(folder: Path) -> None:
    files = find_stems(folder, "bass")
    one, two = StemCrops(files, RATE, 2**30), StemCrops(files, RATE, 2**30)
    two.draw(0, 9, 9, 8000)
    first = one.draw(0, 1, 2, 8000)
    assert first.shape == (8000,)
    assert first.dtype == np.float32
    assert np.array_equal(first, two.draw(0, 1, 2, 8000))
    assert not np.array_equal(first, one.draw(0, 1, 3, 8000))
    assert not np.array_equal(first, one.draw(1, 1, 2, 8000))


def test_memory_for_one_song_gives_the_same_crops(folder: Path) -> None:
    files = find_stems(folder, "bass")
    roomy, tight = StemCrops(files, RATE, 2**30), StemCrops(files, RATE, 1)
    for index in range(20):
        assert np.array_equal(roomy.draw(0, 0, index, 4000), tight.draw(0, 0, index, 4000))
    assert len(roomy._decoded) == 4
    assert len(tight._decoded) == 1


def test_most_silent_crops_are_drawn_again(tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    sound = np.concatenate([0.5 * np.sin(500 * time), np.zeros(9 * RATE)])
    write_audio(tmp_path / "song" / "bass.wav", Audio(sound[None].astype(np.float32), RATE))
    crops = StemCrops(find_stems(tmp_path, "bass"), RATE, 2**30)
    silent = [is_silent(crops.draw(0, 0, index, 4000)) for index in range(300)]
    # Drawn once, nine in ten would be silent.
    assert 0.1 < np.mean(silent) < 0.7


def test_short_songs_are_padded(tmp_path: Path) -> None:
    write_audio(tmp_path / "song" / "bass.wav", Audio(np.full((1, 100), 0.5, np.float32), RATE))
    crop = StemCrops(find_stems(tmp_path, "bass"), RATE, 2**30).draw(0, 0, 0, 400)
    assert np.count_nonzero(crop) == 100


def test_excerpts_are_spread_over_songs_and_time(folder: Path) -> None:
    crops = StemCrops(find_stems(folder, "bass"), RATE, 2**30)
    excerpts = crops.excerpts(8, RATE // 2)
    assert excerpts.shape == (8, RATE // 2)
    assert len({excerpt.tobytes() for excerpt in excerpts}) == 8
    assert not any(is_silent(excerpt) for excerpt in excerpts)
