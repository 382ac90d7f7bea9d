"""Training a codec on stems: which crops it sees, and that it learns."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import helpers.processes  # noqa: F401 - what is forked has imported torch
import numpy as np
import pytest
import s3fs
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.s3 import Bucket
from helpers.s3_proxy import Faults
from torch import Tensor, nn

from models.audio.files import Audio, read_audio, write_audio
from models.codec import CodecSize, StemCodec
from models.codec.discriminator import DiscriminatorSize
from models.errors import StemsError
from models.presets import CODEC_SIZES, DISCRIMINATOR_SIZES
from pipelines.training.codec.config import CodecTraining
from pipelines.training.codec.crops import StemCrops, find_stems, hold_out, is_silent
from pipelines.training.codec.train_codec import CodecRecipe, train_codec
from pipelines.training.loop.checkpoints import checkpoints
from pipelines.training.loop.preemption import Notice
from pipelines.training.loop.recipe import Place
from pipelines.training.loop.train import TrainingResult
from pipelines.training.loop.unshard import finished_recipe
from pipelines.training.loop.worker import Worker

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
    fields |= {"adversarial": 0.0, "wave": 0.02, "average_decay": 0.0}
    return CodecTraining(stems=str(folder), output=str(output), stem="bass", **(fields | changes))


SIZE = CodecSize(filters=2, latent=8, cardinality=16, lstm_layers=1, ratios=(4, 4, 5, 8))
JUDGE = DiscriminatorSize(filters=2, windows=(256, 128))


@pytest.fixture(autouse=True)
def small_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODEC_SIZES, "tiny", SIZE)
    monkeypatch.setitem(DISCRIMINATOR_SIZES, "tiny", JUDGE)
    monkeypatch.setattr("pipelines.training.codec.train_codec.EXCERPTS", 2)
    monkeypatch.setattr("pipelines.training.codec.train_codec.EXCERPT_SECONDS", 1.0)


def test_a_trained_codec_makes_less_error_than_an_untrained_one(folder: Path, tmp_path: Path) -> None:
    result = train_codec(settings(folder, tmp_path))
    before, after = result.history[0], result.final
    assert before["step"] == 0
    assert after["valid/mel_distance"] < 0.5 * before["valid/mel_distance"]
    assert after["valid/unused_codes_2"] == 1 - after["valid/used_codes_2"] / 16
    assert 1 < after["valid/training_perplexity_1"] <= 16
    assert after["replaced_codes_1"] >= 0
    assert 1 <= after["valid/perplexity_2"] <= after["valid/used_codes_2"] <= 16
    assert after["valid/mel_distance"] < after["valid/mel_distance_of_silence"]
    codec = StemCodec.load(result.directory)
    assert codec.codebooks == 2
    assert all(layer.codebook.inited.item() == 1 for layer in codec.network.quantizer.layers)


def weights(result: TrainingResult) -> dict[str, Tensor]:
    return StemCodec.load(result.directory).state_dict()


WHOLE: dict[str, Any] = {"adversarial": 4.0, "average_decay": 0.9, "batch": 5, "learning_rate": 1e-3}
"""The whole recipe, with a batch that cannot be halved."""


def test_a_resumed_codec_is_the_codec_that_was_not_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = WHOLE | {"steps": 6, "checkpoint_every": 2, "accumulate": 2}
    whole = train_codec(settings(folder, tmp_path / "whole", **changes))
    loss = CodecRecipe.loss

    def stop(self: CodecRecipe, module: nn.Module, step: int, indices: Sequence[int]) -> Any:
        if step == 3:
            raise KeyboardInterrupt
        return loss(self, module, step, indices)

    with monkeypatch.context() as patched:
        patched.setattr(CodecRecipe, "loss", stop)
        with pytest.raises(KeyboardInterrupt):
            train_codec(settings(folder, tmp_path / "stopped", **changes))
    resumed = train_codec(settings(folder, tmp_path / "stopped", **changes))
    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_micro_batches_teach_what_the_batch_teaches(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Adam would make much of differences in the last digit.
    monkeypatch.setattr(CodecRecipe, "optimizer", lambda self, parameters: torch.optim.SGD(parameters))
    first, second = (
        weights(train_codec(settings(folder, tmp_path / str(parts), **WHOLE, steps=4, accumulate=parts)))
        for parts in (1, 2)
    )
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=1e-5, atol=1e-5, msg=name)


class PlainSteps(CodecRecipe):
    """Steps along the gradient: Adam would make much of differences in the last digit."""

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters)


def train_as_worker(rank: int, world: int, meet: Path, config: CodecTraining) -> None:
    torch.set_num_threads(1)
    CODEC_SIZES["tiny"], DISCRIMINATOR_SIZES["tiny"] = SIZE, JUDGE
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=world)
    Worker(config, partial(PlainSteps, config), Place(rank, world, torch.device("cpu")), Notice()).run()
    dist.destroy_process_group()


def test_two_workers_train_the_codec_that_one_trains(folder: Path, tmp_path: Path) -> None:
    states = []
    for world in (1, 2):
        config = settings(folder, tmp_path / str(world), **WHOLE, steps=4, accumulate=2)
        Path(config.output).mkdir()
        mp.start_processes(
            train_as_worker, args=(world, tmp_path / f"meet-{world}", config), nprocs=world, start_method="forkserver"
        )
        _, checkpoint = checkpoints(Path(config.output))[-1]
        states.append(finished_recipe(partial(PlainSteps, config), checkpoint, averaged=False).module.state_dict())
    for name, value in states[0].items():
        # A codebook's sums grow with it, and so does what is rounded away.
        atol = 3e-5 * max(1.0, float(value.abs().max()))
        torch.testing.assert_close(states[1][name], value, rtol=1e-4, atol=atol, msg=name)


def test_a_codec_trained_by_the_whole_recipe_is_an_encodec_model_with_the_same_codes(
    folder: Path, tmp_path: Path
) -> None:
    from transformers import EncodecModel

    result = train_codec(settings(folder, tmp_path, **WHOLE, steps=3))
    codec, plain = StemCodec.load(result.directory), EncodecModel.from_pretrained(result.directory).eval()
    assert set(plain.state_dict()) == {name.removeprefix("network.") for name in codec.state_dict()}
    assert all(layer.codebook.inited.item() == 1 for layer in plain.quantizer.layers)
    wav = torch.from_numpy(read_audio(folder / "song 1" / "bass.flac").mono().samples)[None]
    with torch.no_grad():
        codes = plain.encode(wav).audio_codes[0]
    assert codes.unique().numel() > 2
    assert torch.equal(codes, codec.encode(wav))
    assert {"adversarial", "feature", "discriminator", "mel", "wave", "commitment"} <= set(result.final)


def test_a_codec_starts_from_another_one_with_fewer_codebooks(folder: Path, tmp_path: Path) -> None:
    first = train_codec(settings(folder, tmp_path / "first", steps=1, codebooks=1))
    changes: dict[str, Any] = {"preset": None, "start_from": str(first.directory), "learning_rate": 1e-9, "batch": 16}
    second = train_codec(settings(folder, tmp_path / "second", steps=1, codebooks=3, codebook_decay=0.999, **changes))
    assert second.history[0]["valid/perplexity_1"] == first.final["valid/perplexity_1"]
    before, after = weights(first), weights(second)
    for name, value in before.items():
        if "cluster_size" not in name and "embed_avg" not in name:  # those count a step's vectors
            torch.testing.assert_close(after[name], value, rtol=0, atol=0.02, msg=name)
    books = [layer.codebook for layer in StemCodec.load(second.directory).network.quantizer.layers]
    assert len(books) == 3
    assert books[1].embed.std() < books[0].embed.std()  # fitted to what the first one leaves


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"start_from": "x"}, "preset"), ({"start_from": "nowhere", "preset": None}, "codec")],
)
def test_a_start_that_cannot_be_is_refused(folder: Path, tmp_path: Path, changes: Any, field: str) -> None:
    with pytest.raises(StemsError) as caught:
        train_codec(settings(folder, tmp_path, **changes))
    assert caught.value.field == field


def test_samples_are_excerpts_beside_what_the_codec_makes_of_them(folder: Path, tmp_path: Path) -> None:
    train_codec(settings(folder, tmp_path, steps=2, sample_every=2))
    files = sorted(path.name for path in (tmp_path / "samples" / "step-2").iterdir())
    assert files == ["1-decoded.flac", "1-original.flac", "2-decoded.flac", "2-original.flac"]
    original, decoded = (read_audio(tmp_path / "samples" / "step-2" / name) for name in files[1::-1])
    assert original.samples.shape == decoded.samples.shape == (1, RATE)
    assert not is_silent(original.samples)
    assert not np.array_equal(original.samples, decoded.samples)


def test_codebooks_follow_the_encoder(folder: Path, tmp_path: Path) -> None:
    books = []
    for decay in (0.5, 0.99):
        result = train_codec(settings(folder, tmp_path / str(decay), steps=1, codebook_decay=decay))
        codec = StemCodec.load(result.directory)
        books.append(codec.network.quantizer.layers[0].codebook.embed)
    assert not torch.equal(books[0], books[1])


def test_stems_in_an_object_store_train_the_codec_that_they_train_on_a_disk(
    folder: Path, tmp_path: Path, s3: Bucket
) -> None:
    s3fs.S3FileSystem().put(f"{folder}/", f"{s3.uri}/stems", recursive=True)
    here = train_codec(settings(folder, tmp_path / "here", steps=3))
    there = settings(folder, tmp_path / "there", steps=3).model_copy(update={"stems": f"{s3.uri}/stems"})
    with s3.server.failing(Faults(1, errors=0.2, slow=0.1, cut=0.2, stalls=0.05)) as injected:
        second = weights(train_codec(there))
    assert injected
    assert all(torch.equal(value, second[name]) for name, value in weights(here).items())
    assert len(list((tmp_path / "there" / "stems").iterdir())) == 4


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
    with pytest.raises(StemsError, match="only one song, 'without'"):
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


def test_a_collection_that_does_not_fit_is_read_in_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find_stems(folder, "bass")
    roomy, tight = StemCrops(files, RATE, 2**30), StemCrops(files, RATE, 15 * RATE * 4)
    crops = [roomy.draw(0, 0, index, 4000) for index in range(20)]
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.training.codec.crops.read_audio", None)  # no song is decoded whole
        for index, crop in enumerate(crops):
            np.testing.assert_allclose(tight.draw(0, 0, index, 4000), crop, atol=1e-4)
        np.testing.assert_allclose(tight.excerpts(8, RATE), roomy.excerpts(8, RATE), atol=1e-4)
    with monkeypatch.context() as patched:
        patched.setattr("pipelines.training.data.sound_files.audio_info", None)
        patched.setattr("pipelines.training.codec.crops.read_audio", None)  # and none twice
        assert np.array_equal(roomy.draw(0, 0, 0, 4000), crops[0])


def test_damaged_songs_stop_nothing_and_are_named_once(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folder, tmp_path / "stems")
    damaged, cut = (tmp_path / "stems" / f"song {number}" / "bass.flac" for number in (0, 1))
    middle = damaged.stat().st_size // 2
    damaged.write_bytes(damaged.read_bytes()[:middle] + bytes(400) + damaged.read_bytes()[middle + 400 :])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    result = train_codec(settings(tmp_path / "stems", tmp_path / "run", steps=4))
    assert all(row["taken"] == 1 for row in result.history if "taken" in row)
    assert caplog.text.count(str(cut)) == 1
    files = find_stems(tmp_path / "stems", "bass")
    assert len(files) == 3
    for memory in (1, 2**30):
        caplog.clear()
        crops = StemCrops(files, RATE, memory)
        assert all(not is_silent(crops.draw(0, 0, index, 4000)) for index in range(40))
        assert sum(str(damaged) in message for message in caplog.messages) == 1
    with pytest.raises(StemsError, match="Almost none") as caught:
        StemCrops([file for file in files if file.path == damaged], RATE, 2**30).draw(0, 0, 0, 4000)
    assert caught.value.code == "unreadable"
    for song in (tmp_path / "stems").glob("*/bass.flac"):
        song.write_bytes(b"dust")
    with pytest.raises(StemsError, match="Almost none of the 4"):
        find_stems(tmp_path / "stems", "bass")


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
