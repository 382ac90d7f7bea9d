"""What stays of a song that is edited or extended in a shell: its tokens, what is beside its stems, its quality."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny import LAYOUT, noise, tiny_assembly_directory

import cli
from models.audio.files import Audio, read_audio, write_audio


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def own_song(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    song = tmp_path_factory.mktemp("songs") / "song"
    stems("generate", "--model", model, "--seconds", 0.5, "--seed", 3, "--output", song)
    return song


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    write_audio(tmp_path / "song.wav", noise(1.0, rate=44_100, channels=2))
    return tmp_path / "song.wav"


def stems(*words: object) -> None:
    assert cli.main([str(word) for word in words]) == 0


def codes(folder: Path) -> np.ndarray:
    return np.load(folder / "codes.npy")


def sound(folder: Path, name: str) -> np.ndarray:
    return read_audio(folder / f"{name}.wav").samples


def said(folder: Path) -> dict[str, object]:
    return json.loads((folder / "manifest.json").read_text())


def test_a_song_goes_on_from_its_own_tokens(model: Path, own_song: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    stems("extend", "--model", model, "--song", own_song, "--seconds", 1, "--seed", 1, "--output", longer)
    assert codes(longer).shape == (LAYOUT.streams, 75)
    assert np.array_equal(codes(longer)[:, :25], codes(own_song))
    for name in LAYOUT.names:
        assert sound(longer, name).shape == (1, 48_000)
        scaled = sound(own_song, name) * said(longer)["gain"]
        np.testing.assert_allclose(sound(longer, name)[:, :16_000], scaled, atol=1 / 2**15)


def test_some_stems_go_on_under_one_that_is_given_to_the_new_end(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in (("bass", 0.5), ("drums", 0.5), ("other", 1.0)):
        write_audio(tmp_path / "given" / f"{name}.wav", noise(seconds))
    words = ["extend", "--model", model, "--song", tmp_path / "given", "--seconds", 0.5, "--seed", 1]
    stems(*words, "--regenerate", "bass", "drums", "--output", tmp_path / "longer")
    assert sound(tmp_path / "longer", "bass").shape == sound(tmp_path / "longer", "other").shape == (1, 32_000)
    assert sound(tmp_path / "longer", "bass")[:, 16_000:].any()
    scaled = sound(tmp_path / "given", "other") * said(tmp_path / "longer")["gain"]
    np.testing.assert_allclose(sound(tmp_path / "longer", "other"), scaled, atol=1 / 2**15)
    # The song would end at 1.5 s: drums end too early to be given.
    assert cli.main([str(word) for word in [*words, "--regenerate", "bass", "other"]]) == 2
    assert "drums" in capsys.readouterr().err


def test_an_edit_and_another_texture_keep_the_other_tokens(model: Path, own_song: Path, tmp_path: Path) -> None:
    given = ["edit", "--model", model, "--song", own_song, "--seed", 1, "--output"]
    stems(*given, tmp_path / "edit", "--regenerate", "bass")
    stems(*given, tmp_path / "texture", "--texture", "other")
    before = codes(own_song)
    assert np.array_equal(codes(tmp_path / "edit")[1:], before[1:])
    assert not np.array_equal(codes(tmp_path / "edit")[0], before[0])
    assert np.array_equal(codes(tmp_path / "texture")[:3], before[:3])
    assert not np.array_equal(codes(tmp_path / "texture")[3], before[3])


def test_a_stem_that_was_changed_since_is_encoded_again(model: Path, own_song: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(own_song, tmp_path / "song")
    write_audio(folder / "drums.wav", noise(0.5, seed=9))
    stems("edit", "--model", model, "--song", folder, "--regenerate", "bass", "--output", tmp_path / "edit")
    changed = (codes(tmp_path / "edit") != codes(own_song)).any(axis=1)
    assert changed[LAYOUT.slice("drums")].all()
    assert not changed[LAYOUT.slice("other")].any()


@pytest.mark.parametrize(
    "damage", ["no digests", "another model", "no manifest", "not JSON", "no tokens", "gain", "other"]
)
def test_a_folder_whose_tokens_cannot_be_trusted_is_read_as_sound(
    model: Path, own_song: Path, tmp_path: Path, damage: str
) -> None:
    folder, output = shutil.copytree(own_song, tmp_path / "song"), tmp_path / "edit"
    manifest, now = folder / "manifest.json", said(own_song)
    if damage == "no digests":
        manifest.write_text(json.dumps({key: value for key, value in now.items() if key != "sha256"}))
    elif damage == "another model":
        manifest.write_text(json.dumps(now | {"model": "another"}))
    elif damage == "gain":
        manifest.write_text(json.dumps(now | {"gain": 0.9}))
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "not JSON":
        manifest.write_text("[")
    elif damage == "no tokens":
        (folder / "codes.npy").unlink()
    else:
        np.save(folder / "codes.npy", np.zeros((1, 1)))
    stems("edit", "--model", model, "--song", folder, "--regenerate", "bass", "--output", output)
    assert not np.array_equal(codes(output)[1:], codes(own_song)[1:])


def test_what_a_mixed_song_holds_beside_its_stems_stays_in_the_mix(model: Path, mixed: Path, tmp_path: Path) -> None:
    one, plain, again = tmp_path / "one", tmp_path / "plain", tmp_path / "again"
    given = ["edit", "--model", model, "--song", mixed, "--regenerate", "bass", "--seed", 1, "--output"]
    stems(*given, one, "--source-quality")
    stems(*given, plain, "--no-rest")
    assert said(one)["rest"]
    assert not said(plain)["rest"]
    assert not (plain / "rest.wav").exists()
    parts = [sound(one, name) for name in (*LAYOUT.names, "rest")]
    np.testing.assert_allclose(sum(parts), sound(one, "mix"), atol=1e-6)
    # An edit of the edit keeps it, too.
    stems("edit", "--model", model, "--song", one, "--regenerate", "drums", "--source-quality", "--output", again)
    assert np.array_equal(sound(again, "rest"), sound(one, "rest"))


def test_the_rest_of_a_longer_song_fades_out_after_its_end(model: Path, mixed: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer"
    words = ["extend", "--model", model, "--song", mixed, "--seconds", 0.5, "--seed", 1, "--source-quality"]
    stems(*words, "--output", longer)
    rest = sound(longer, "rest")
    assert rest.shape == (2, 66_150)
    assert rest[:, 44_100:44_300].any()
    assert not rest[:, 44_100 + 441 :].any()
    kept = sum(sound(longer, name)[:, :44_100] for name in (*LAYOUT.names, "rest"))
    np.testing.assert_allclose(kept, read_audio(mixed).samples, atol=1e-5)


def test_kept_sound_comes_back_at_the_sources_rate_and_channels(model: Path, tmp_path: Path) -> None:
    given, edited, longer = tmp_path / "stems", tmp_path / "edit", tmp_path / "longer"
    for index, name in enumerate(LAYOUT.names):
        write_audio(given / f"{name}.wav", noise(0.61, rate=44_100, channels=2, seed=index))
    words = ["--model", model, "--song", given, "--source-quality", "--seed", 1, "--output"]
    stems("edit", *words, edited, "--regenerate", "bass", "drums", "--region", 0.2, 0.4)
    stems("extend", *words, longer, "--seconds", 0.5)
    count = round(0.61 * 44_100)
    for name in LAYOUT.names:
        before, now, then = (sound(folder, name) for folder in (given, edited, longer))
        assert (now.shape, then.shape) == ((2, count), (2, count + 22_050))
        assert np.array_equal(now[:, :8_820], before[:, :8_820])
        assert np.array_equal(now[:, 17_641:], before[:, 17_641:])
        assert np.array_equal(now, before) == (name == "other")
        assert np.array_equal(then[:, :count], before)


def test_a_new_stem_lies_at_the_same_time_in_source_quality(model: Path, tmp_path: Path) -> None:
    for name in ("drums", "other"):
        write_audio(tmp_path / "stems" / f"{name}.wav", noise(0.6, rate=44_100, channels=2))
    words = ["edit", "--model", model, "--song", tmp_path / "stems", "--seed", 1, "--output"]
    stems(*words, tmp_path / "plain")
    stems(*words, tmp_path / "full", "--source-quality")
    full, plain = sound(tmp_path / "full", "bass"), read_audio(tmp_path / "plain" / "bass.wav").resample(44_100)
    assert full.shape == (2, 26_460)
    np.testing.assert_allclose(full[0] * said(tmp_path / "plain")["gain"], plain.samples[0], atol=2e-3)


@pytest.mark.parametrize("name", ["rest", "mix"])
def test_a_folder_without_a_stem_is_refused(
    model: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_audio(tmp_path / "song" / f"{name}.wav", Audio(np.zeros((1, 32_000), np.float32), 32_000))
    words = ["extend", "--model", model, "--song", tmp_path / "song", "--seconds", 1]
    assert cli.main([str(word) for word in words]) == 2
    assert "stem" in capsys.readouterr().err
