"""`stems generate` and `stems edit`, as a musician uses them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import LAYOUT, noise, tiny_assembly_directory

import cli
from models.audio.files import read_audio, write_audio
from models.song.song import Song
from pipelines.composing.folder import write_song


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def generated(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    song = tmp_path_factory.mktemp("songs") / "song"
    words = ["generate", "--model", str(model), "--prompt", "calm", "--seconds", "0.5", "--seed", "3"]
    assert cli.main([*words, "--output", str(song)]) == 0
    return song


def test_generate_leaves_stems_mix_codes_and_manifest(generated: Path) -> None:
    names = {*(f"{stem}.wav" for stem in LAYOUT.names), "mix.wav", "codes.npy", "manifest.json"}
    assert {file.name for file in generated.iterdir()} == names
    manifest = json.loads((generated / "manifest.json").read_text())
    assert (manifest["prompt"], manifest["seed"], manifest["seconds"]) == ("calm", 3, 0.5)
    assert manifest["precision"] == "float32"
    stems = [read_audio(generated / f"{stem}.wav").samples for stem in LAYOUT.names]
    # 16 bit files: each is off by at most half a step.
    np.testing.assert_allclose(np.sum(stems, axis=0), read_audio(generated / "mix.wav").samples, atol=4 / 2**16)


def test_edit_a_folder_of_stems(model: Path, generated: Path, tmp_path: Path) -> None:
    words = ["edit", "--model", str(model), "--song", str(generated), "--regenerate", "[bass]", "--seed", "1"]
    assert cli.main([*words, "--output", str(tmp_path / "edit")]) == 0
    for stem in ("drums", "other"):
        assert np.array_equal(
            read_audio(tmp_path / "edit" / f"{stem}.wav").samples, read_audio(generated / f"{stem}.wav").samples
        )
    assert not np.array_equal(np.load(tmp_path / "edit" / "codes.npy")[0], np.load(generated / "codes.npy")[0])


def test_edit_a_region_and_a_texture(model: Path, generated: Path, tmp_path: Path) -> None:
    words = ["edit", "--model", str(model), "--song", str(generated), "--seed", "2", "--regenerate", "[bass]"]
    words += ["--texture", "[other]", "--region", "[0.1,0.3]", "--output", str(tmp_path / "edit")]
    assert cli.main(words) == 0
    for stem in LAYOUT.names:
        before, after = (read_audio(folder / f"{stem}.wav").samples for folder in (generated, tmp_path / "edit"))
        assert np.array_equal(before, after) == (stem == "drums")
        assert np.array_equal(before[:, :3_200], after[:, :3_200])
        assert np.array_equal(before[:, 9_600:], after[:, 9_600:])


def test_precision_can_be_chosen_and_is_written_down(model: Path, tmp_path: Path) -> None:
    words = ["generate", "--model", str(model), "--seconds", "0.5", "--precision", "int8"]
    assert cli.main([*words, "--output", str(tmp_path / "song")]) == 0
    assert json.loads((tmp_path / "song" / "manifest.json").read_text())["precision"] == "int8"


def test_edit_a_mixed_song_separates_it_first(model: Path, tmp_path: Path) -> None:
    write_audio(tmp_path / "song.mp3", noise(1.0, rate=44_100, channels=2))
    words = ["edit", "--model", str(model), "--song", str(tmp_path / "song.mp3"), "--regenerate", "[drums]"]
    assert cli.main([*words, "--output", str(tmp_path / "edit")]) == 0
    assert (tmp_path / "edit" / "drums.wav").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--regenerate", "[banjo]"], "'banjo' is not a stem"),
        ([], "Nothing would change"),
        (["--regenerate", "[bass,drums,other]"], "none is left as context"),
        (["--regenerate", "[bass]", "--region", "[0.4,0.9]"], "not in this song of 0.50 s"),
        (["--texture", "[drums]"], "one codebook"),
        (["--texture", "[banjo]"], "'banjo' is not a stem"),
    ],
)
def test_impossible_edits_say_what_to_do(
    model: Path, generated: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["edit", "--model", str(model), "--song", str(generated), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_song_that_is_no_audio_is_named(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    song = tmp_path / "notes.wav"
    song.write_text("not audio")
    assert cli.main(["edit", "--model", str(model), "--song", str(song), "--regenerate", "[bass]"]) == 2
    assert "notes.wav" in capsys.readouterr().err


def test_a_song_too_loud_is_scaled_as_a_whole(tmp_path: Path) -> None:
    loud = {name: np.full(100, 0.8, dtype=np.float32) for name in LAYOUT.names}
    song = Song(np.zeros((LAYOUT.streams, 1), np.int16), loud, 32_000, LAYOUT, seed=1, prompt="")
    write_song(tmp_path / "song", song, "digest")
    mix = read_audio(tmp_path / "song" / "mix.wav").samples
    stems = [read_audio(tmp_path / "song" / f"{name}.wav").samples for name in LAYOUT.names]
    assert mix.max() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(np.sum(stems, axis=0), mix, atol=1e-3)
    assert json.loads((tmp_path / "song" / "manifest.json").read_text())["gain"] == pytest.approx(1 / 2.4)


def test_an_engine_is_planned_for_a_model_or_a_preset(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["engine", "plan", "--model", str(model), "--slots", "2"]) == 0
    assert "2 guided or 4 unguided requests" in capsys.readouterr().out
    assert cli.main(["engine", "plan", "--preset", "small", "--precision", "int8"]) == 0
    said = capsys.readouterr().out
    assert "int8" in said
    assert "real time" in said


def test_an_engine_that_does_not_fit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["engine", "plan", "--preset", "large", "--slots", "1000"]) == 2
    assert "1000 slots take" in capsys.readouterr().err
    assert cli.main(["engine", "plan", "--preset", "huge"]) == 2
    assert "tiny, small, medium, large" in capsys.readouterr().err


def test_stems_are_found_in_any_case_and_stay_as_they_are(model: Path, generated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stems"
    folder.mkdir()
    for stem, name in (("bass", "Bass.wav"), ("drums", "drums.WAV")):
        (folder / name).write_bytes((generated / f"{stem}.wav").read_bytes())
    assert cli.main(["edit", "--model", str(model), "--song", str(folder), "--output", str(tmp_path / "edit")]) == 0
    for stem in ("bass", "drums"):
        assert np.array_equal(
            read_audio(tmp_path / "edit" / f"{stem}.wav").samples, read_audio(generated / f"{stem}.wav").samples
        )


def test_a_stem_by_another_name_is_not_written_over(
    model: Path, generated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "stems"
    folder.mkdir()
    for stem, name in (("bass", "song - Bass.wav"), ("drums", "drums.wav")):
        (folder / name).write_bytes((generated / f"{stem}.wav").read_bytes())
    words = ["edit", "--model", str(model), "--song", str(folder), "--output", str(tmp_path / "edit")]
    assert cli.main(words) == 2
    assert "Rename 'song - Bass.wav' to 'bass.wav'" in capsys.readouterr().err
    assert not (tmp_path / "edit").exists()
