from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import LAYOUT, noise, tiny_assembly_directory, tiny_codec

from models.assembling import assemble
from models.assembly import Assembly
from models.errors import StemsError
from models.lm.sampling import Sampling

SAMPLING = Sampling(seed=5)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def assembly(directory: Path) -> Assembly:
    return Assembly.load(directory)


def test_a_prompt_becomes_stems_of_the_length_asked_for(assembly: Assembly) -> None:
    seen: list[float] = []
    song = assembly.generate("calm keys", 1.0, SAMPLING, seen.append)
    assert song.codes.shape == (LAYOUT.streams, 50)
    assert song.codes.dtype == np.int16
    assert {name: len(samples) for name, samples in song.stems.items()} == dict.fromkeys(LAYOUT.names, 32_000)
    np.testing.assert_allclose(song.mix, sum(song.stems.values()), atol=1e-6)
    assert song.seed == 5
    assert seen[-1] == 1.0
    assert seen == sorted(seen)


def test_the_same_seed_gives_the_same_song(assembly: Assembly) -> None:
    first, second = (assembly.generate("calm keys", 0.5, SAMPLING) for _ in range(2))
    other = assembly.generate("calm keys", 0.5, Sampling(seed=6))
    assert np.array_equal(first.codes, second.codes)
    assert not np.array_equal(first.codes, other.codes)


def test_songs_longer_than_the_window_continue(assembly: Assembly) -> None:
    long = assembly.generate("", 3.0, SAMPLING)
    short = assembly.generate("", 1.2, SAMPLING)
    assert long.codes.shape[1] == 150
    assert np.array_equal(long.codes[:, :60], short.codes)


@pytest.mark.parametrize("seconds", [0.6, 2.5])
def test_an_edit_keeps_the_other_stems_to_the_bit(assembly: Assembly, seconds: float) -> None:
    given = {name: noise(seconds, seed=i) for i, name in enumerate(LAYOUT.names)}
    song = assembly.edit(given, ["bass"], sampling=SAMPLING)
    for name in ("drums", "other"):
        source = assembly.encode_stem(name, given[name].samples[0]).numpy()
        assert np.array_equal(song.codes[LAYOUT.slice(name)], source)
        assert np.array_equal(song.stems[name], given[name].samples[0])
    before = assembly.encode_stem("bass", given["bass"].samples[0]).numpy()
    assert not np.array_equal(song.codes[LAYOUT.slice("bass")], before)


def test_what_the_regenerated_stem_was_is_hidden_from_the_model(assembly: Assembly) -> None:
    given = {name: noise(0.6, seed=i) for i, name in enumerate(LAYOUT.names)}
    first = assembly.edit(given, ["bass"], sampling=SAMPLING)
    second = assembly.edit(given | {"bass": noise(0.6, seed=99)}, ["bass"], sampling=SAMPLING)
    third = assembly.edit(given | {"drums": noise(0.6, seed=99)}, ["bass"], sampling=SAMPLING)
    assert np.array_equal(first.codes, second.codes)
    assert not np.array_equal(first.codes[0], third.codes[0])


def test_missing_stems_are_written_and_silent_ones_stay_silent(assembly: Assembly) -> None:
    given = {"drums": noise(0.6)}
    with_bass = assembly.edit(given, sampling=SAMPLING)
    without = assembly.edit(given, silent=["bass"], sampling=SAMPLING)
    assert with_bass.stems["bass"].any()
    assert not without.stems["bass"].any()
    assert without.stems["other"].any()


def test_a_free_edit_is_a_variation_of_everything(assembly: Assembly) -> None:
    given = {name: noise(0.6, seed=i) for i, name in enumerate(LAYOUT.names)}
    free = assembly.edit(given, ["bass"], sampling=SAMPLING, exact=False)
    source = assembly.encode_stem("drums", given["drums"].samples[0]).numpy()
    assert not np.array_equal(free.codes[LAYOUT.slice("drums")], source)


def test_stems_of_other_rates_channels_and_lengths_are_brought_together(assembly: Assembly) -> None:
    song = assembly.edit({"drums": noise(0.6, rate=44_100, channels=2), "other": noise(0.4)}, sampling=SAMPLING)
    assert {len(samples) for samples in song.stems.values()} == {round(0.6 * 32_000)}


def test_a_mixed_song_is_separated_into_the_models_stems(assembly: Assembly) -> None:
    stems = assembly.separate(noise(1.5, rate=22_050, channels=1))
    assert tuple(stems) == LAYOUT.names
    assert all(s.rate == 32_000 and s.samples.shape == (1, 48_000) for s in stems.values())


@pytest.mark.parametrize(
    ("given", "regenerate", "silent", "field"),
    [
        (["banjo"], [], [], "stems"),
        (["bass"], ["banjo"], [], "regenerate"),
        (["bass"], [], ["bass"], "silent"),
        (["bass", "drums", "other"], [], [], "regenerate"),
        (["bass", "drums", "other"], ["bass", "drums", "other"], [], "regenerate"),
    ],
)
def test_contradictions_are_refused(
    assembly: Assembly, given: list[str], regenerate: list[str], silent: list[str], field: str
) -> None:
    with pytest.raises(StemsError) as caught:
        assembly.edit({name: noise(0.5) for name in given}, regenerate, silent=silent)
    assert caught.value.field == field


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 21.0])
def test_impossible_lengths_are_refused(assembly: Assembly, seconds: float) -> None:
    with pytest.raises(StemsError, match="seconds"):
        assembly.generate("", seconds, SAMPLING)


def test_a_codec_that_does_not_fit_is_refused(directory: Path, tmp_path: Path) -> None:
    tiny_codec(codebooks=3).save(tmp_path / "codec")
    codecs = {name: directory / "codecs" / name for name in LAYOUT.names} | {"bass": tmp_path / "codec"}
    with pytest.raises(StemsError, match="codec of 'bass'"):
        assemble(tmp_path / "model", directory / "lm", codecs, None)


def test_a_directory_without_a_model_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match=r"assembly\.json"):
        Assembly.load(tmp_path)


def test_the_digest_names_the_weights(directory: Path, assembly: Assembly) -> None:
    again = Assembly.load(directory)
    assert again.digest == assembly.digest
    with torch.no_grad():
        next(again.lm.parameters()).add_(1.0)
    again.__dict__.pop("digest", None)
    assert again.digest != assembly.digest
