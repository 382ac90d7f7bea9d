"""Commands whose disk fills up: one line, exit code 2, what was there before, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_disk import fill, small_disk
from helpers.sums import learn, settings, weights
from helpers.tiny import tiny_assembly_directory

import cli
import pipelines.training.loop.checkpoints as checkpoints_module
from models.audio.files import Audio, write_audio
from models.errors import StemsError
from pipelines.training.loop.checkpoints import checkpoints


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model"))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "ballast"}


def run(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert cli.main([str(word) for word in words]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stems:")]
    assert len(said) == 1
    return said[0]


def test_a_song_that_does_not_fit_leaves_the_one_before(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["generate", "--model", str(model), "--seed", "1"]
    with small_disk(tmp_path / "disk", "700k") as disk:
        output = ["--output", str(disk / "song")]
        assert cli.main([*words, "--seconds", "0.5", *output]) == 0
        before = everything(disk)
        said = run(capsys, *words, "--seconds", "4", *output)
        assert f"The disk of '{disk / 'song'}' is full: about 1.0 MB are needed" in said
        assert everything(disk) == before
        assert [path.name for path in disk.iterdir()] == ["song"]
        assert cli.main([*words, "--seconds", "0.5", *output]) == 0
        assert json.loads((disk / "song" / "manifest.json").read_text())["seconds"] == 0.5


def test_a_model_that_does_not_fit_is_not_assembled(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["--lm", model / "lm", "--codecs", model / "codecs", "--separator", model / "separator"]
    with small_disk(tmp_path / "disk", "300k") as disk:
        said = run(capsys, "assemble", *parts, "--output", disk / "model")
        assert f"The disk of '{disk / 'model'}' is full" in said
        assert list(disk.iterdir()) == []


def test_a_song_does_not_take_the_place_of_a_model_nor_a_model_that_of_a_song(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = ["generate", "--model", model, "--seconds", "0.5", "--output"]
    before = everything(model)
    for place in (model, model / "lm", model / "codecs" / "bass"):
        assert "did not write" in run(capsys, *song, place)
    assert cli.main([str(word) for word in (*song, tmp_path / "song")]) == 0
    capsys.readouterr()
    parts = ["assemble", "--lm", model / "lm", "--codecs", model / "codecs", "--output"]
    for place in (tmp_path / "song", model / "lm"):
        assert "did not write" in run(capsys, *parts, place)
    assert everything(model) == before


def test_a_catalog_that_does_not_fit_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_audio(tmp_path / "songs" / "a.wav", Audio(torch.zeros(1, 8000).numpy(), 8000))
    with small_disk(tmp_path / "disk", "64k") as disk:
        fill(disk)
        said = run(capsys, "catalog", "--source", tmp_path / "songs", "--output", disk / "catalog.parquet")
        assert f"The disk of '{disk / 'catalog.parquet'}' is full" in said
        assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_disk_without_a_free_file_is_found_before_the_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", "1m", inodes=2) as disk:
        (disk / "one").touch()
        said = run(capsys, "generate", "--model", "/nowhere", "--output", disk / "song")
        assert f"The disk of '{disk / 'song'}' is full" in said


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_and_the_run_goes_on_later(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        ballast: list[Path] = []
        original = checkpoints_module.dcp.async_save

        def filling(*args: Any, **named: Any) -> Any:
            if args[0]["step"] == 8:
                ballast.append(fill(disk, but=4096))
            return original(*args, **named)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoints_module.dcp, "async_save", filling)
            with pytest.raises(StemsError, match=r"The disk of '.*checkpoints' is full: about .* are needed") as full:
                learn(settings(disk / "run"))
        assert full.value.code == "storage"
        assert [step for step, _ in checkpoints(disk / "run")] == [4]
        assert not list((disk / "run").rglob(".unfinished-*"))
        ballast[0].unlink()
        whole, resumed = learn(settings(tmp_path / "whole")), learn(settings(disk / "run"))
        assert torch.equal(weights(resumed)["0.weight"], weights(whole)["0.weight"])


def test_an_export_that_does_not_fit_is_made_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        before = weights(learn(settings(disk / "run")))
        (disk / "run" / "result.json").unlink()
        ballast = fill(disk)
        with pytest.raises(StemsError, match="is full"):
            learn(settings(disk / "run"), nan_at=range(12))
        assert torch.equal(
            torch.load(disk / "run/model/weights.pt", weights_only=True)["0.weight"], before["0.weight"]
        )
        ballast.unlink()
        assert torch.equal(weights(learn(settings(disk / "run"), nan_at=range(12)))["0.weight"], before["0.weight"])


@pytest.mark.parametrize("mine", ["model/weights.bin", "checkpoints/best.pt", "notes.txt"])
def test_a_training_touches_no_folder_of_others(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(exist_ok=True)
    (tmp_path / mine).write_text("mine")
    for resume in ("auto", False):
        with pytest.raises(StemsError, match="did not write"):
            learn(settings(tmp_path, resume=resume))
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_notes_in_a_run_of_ours_stay_and_a_model_of_others_is_not_replaced(tmp_path: Path) -> None:
    learn(settings(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoints" / "best.pt").write_text("mine")
    learn(settings(tmp_path, resume=False))
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / "checkpoints" / "best.pt").exists()
    (tmp_path / "model" / "mine.txt").write_text("mine")
    with pytest.raises(StemsError, match="would replace them"):
        learn(settings(tmp_path, steps=16))


def test_a_run_of_an_earlier_release_goes_on(tmp_path: Path) -> None:
    learn(settings(tmp_path))
    (tmp_path / ".stems.json").unlink()
    assert learn(settings(tmp_path, steps=16)).steps == 16
