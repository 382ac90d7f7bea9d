from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny import LAYOUT, noise, sources, tiny_assembly_directory, tiny_codec

from models.audio.files import Audio
from models.errors import StemsError
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.assembly_builder import assemble
from models.song.edit import Edit

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


def test_work_that_is_ended_by_its_listener_leaves_the_engine_free(assembly: Assembly) -> None:
    def leave(done: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError) as kept:
        assembly.generate("calm keys", 1.0, SAMPLING, leave)
    assert assembly.engine.free_rows == assembly.engine.plan.rows
    assert assembly.generate("calm keys", 0.5, SAMPLING).codes.shape[1] == 25
    assert kept  # and with it all that its traceback holds on to


def test_songs_longer_than_the_window_continue(assembly: Assembly) -> None:
    long = assembly.generate("", 3.0, SAMPLING)
    short = assembly.generate("", 1.2, SAMPLING)
    assert long.codes.shape[1] == 150
    assert np.array_equal(long.codes[:, :60], short.codes)


@pytest.mark.parametrize("seconds", [0.6, 2.5])
def test_an_edit_keeps_the_other_stems_to_the_bit(assembly: Assembly, seconds: float) -> None:
    given = {name: noise(seconds, seed=i) for i, name in enumerate(LAYOUT.names)}
    song = assembly.edit(sources(given), Edit(["bass"]), sampling=SAMPLING)
    for name in ("drums", "other"):
        source = assembly.encode_stem(name, given[name].samples[0]).numpy()
        assert np.array_equal(song.codes[LAYOUT.slice(name)], source)
        assert np.array_equal(song.stems[name], given[name].samples[0])
    before = assembly.encode_stem("bass", given["bass"].samples[0]).numpy()
    assert not np.array_equal(song.codes[LAYOUT.slice("bass")], before)


def test_what_the_regenerated_stem_was_is_hidden_from_the_model(assembly: Assembly) -> None:
    given = {name: noise(0.6, seed=i) for i, name in enumerate(LAYOUT.names)}
    first = assembly.edit(sources(given), Edit(["bass"]), sampling=SAMPLING)
    second = assembly.edit(sources(given | {"bass": noise(0.6, seed=99)}), Edit(["bass"]), sampling=SAMPLING)
    third = assembly.edit(sources(given | {"drums": noise(0.6, seed=99)}), Edit(["bass"]), sampling=SAMPLING)
    assert np.array_equal(first.codes, second.codes)
    assert not np.array_equal(first.codes[0], third.codes[0])


def test_missing_stems_are_written_and_silent_ones_stay_silent(assembly: Assembly) -> None:
    given = {"drums": noise(0.6)}
    with_bass = assembly.edit(sources(given), Edit(), sampling=SAMPLING)
    without = assembly.edit(sources(given), Edit(silent=["bass"]), sampling=SAMPLING)
    assert with_bass.stems["bass"].any()
    assert not without.stems["bass"].any()
    assert without.stems["other"].any()


def test_a_free_edit_is_a_variation_of_everything(assembly: Assembly) -> None:
    given = {name: noise(0.6, seed=i) for i, name in enumerate(LAYOUT.names)}
    free = assembly.edit(sources(given), Edit(["bass"], exact=False), sampling=SAMPLING)
    source = assembly.encode_stem("drums", given["drums"].samples[0]).numpy()
    assert not np.array_equal(free.codes[LAYOUT.slice("drums")], source)


def test_stems_of_other_rates_channels_and_lengths_are_brought_together(assembly: Assembly) -> None:
    song = assembly.edit(
        sources({"drums": noise(0.6, rate=44_100, channels=2), "other": noise(0.4)}), Edit(), sampling=SAMPLING
    )
    assert {len(samples) for samples in song.stems.values()} == {round(0.6 * 32_000)}


def test_a_mixed_song_is_separated_into_the_models_stems(assembly: Assembly) -> None:
    stems = assembly.separate(noise(1.5, rate=22_050, channels=1))
    assert tuple(stems) == LAYOUT.names
    assert all(s.rate == 32_000 and s.samples.shape == (1, 48_000) for s in stems.values())


def all_stems(seconds: float) -> dict[str, Audio]:
    return {name: noise(seconds, seed=i) for i, name in enumerate(LAYOUT.names)}


def codes_of(assembly: Assembly, given: dict[str, Audio]) -> np.ndarray:
    return np.concatenate([assembly.encode_stem(name, given[name].samples[0]).numpy() for name in LAYOUT.names])


@pytest.mark.parametrize("exact", [True, False])
def test_a_region_edit_changes_the_region_alone(assembly: Assembly, exact: bool) -> None:
    given, before = all_stems(2.0), codes_of(assembly, all_stems(2.0))
    song = assembly.edit(sources(given), Edit(["bass"], region=(0.5, 1.2), exact=exact), sampling=SAMPLING)
    changed = song.codes != before
    assert changed[0, 25:60].any()
    assert not changed[:, :25].any()
    assert not changed[:, 60:].any()
    assert changed[1:].any() == (not exact)
    for name in LAYOUT.names:
        was, now = given[name].samples[0], song.stems[name]
        assert np.array_equal(now[: 25 * 640], was[: 25 * 640])
        assert np.array_equal(now[60 * 640 :], was[60 * 640 :])
        assert np.array_equal(now, was) == (exact and name != "bass")


def test_a_region_behind_a_window_that_is_wholly_known_is_written(assembly: Assembly) -> None:
    """A training window of this model is a second; the first of this edit's has nothing to write."""
    given = all_stems(4.0)
    song = assembly.edit(sources(given), Edit(["bass"], region=(3.0, 3.5)), sampling=SAMPLING)
    rate = song.rate
    old = given["bass"].mono().resample(rate).samples[0]
    np.testing.assert_array_equal(song.stems["bass"][: 3 * rate], old[: 3 * rate])
    assert (song.stems["bass"][3 * rate :] != old[3 * rate :]).any()


def test_what_is_around_a_region_is_heard(assembly: Assembly) -> None:
    given, edit = all_stems(1.0), Edit(["bass"], region=(0.1, 0.4))
    bass = given["bass"].samples[0]
    later, inside = bass.copy(), bass.copy()
    later[14_000:] = noise(1.0, seed=9).samples[0][14_000:]
    inside[5_000:11_000] = 0
    song, of_later, of_inside = (
        [
            assembly.edit(sources(given | {"bass": Audio(sound[None], 32_000)}), edit, "", Sampling(seed=seed)).codes[
                0, 5:20
            ]
            for seed in range(12)
        ]
        for sound in (bass, later, inside)
    )
    assert not np.array_equal(song, of_later)
    assert np.array_equal(song, of_inside)


@pytest.mark.parametrize("region", [None, (0.2, 0.5)])
def test_another_texture_keeps_the_first_codebook(assembly: Assembly, region: tuple[float, float] | None) -> None:
    given, before = all_stems(0.8), codes_of(assembly, all_stems(0.8))
    song = assembly.edit(sources(given), Edit(texture=["other"], region=region), sampling=SAMPLING)
    assert np.array_equal(song.codes[:3], before[:3])
    assert not np.array_equal(song.codes[3], before[3])
    assert np.array_equal(song.stems["bass"], given["bass"].samples[0])
    assert not np.array_equal(song.stems["other"], given["other"].samples[0])


def test_a_silent_stem_stays_silent_in_a_variation(assembly: Assembly) -> None:
    song = assembly.edit(sources({"drums": noise(0.6)}), Edit(silent=["bass"], exact=False), sampling=SAMPLING)
    assert not song.stems["bass"].any()


def test_stem_by_stem_a_song_is_composed(assembly: Assembly) -> None:
    """Each stem is written to fit those before it, and those stay as they are."""
    drums = assembly.edit(sources({"drums": noise(0.6)}), Edit(silent=["bass"]), sampling=SAMPLING)
    so_far = {name: Audio(drums.stems[name][None], 32_000) for name in ("drums", "other")}
    whole = assembly.edit(sources(so_far), Edit(), sampling=SAMPLING)
    assert np.array_equal(whole.stems["other"], drums.stems["other"])
    assert whole.stems["bass"].any()


@pytest.mark.parametrize(
    ("given", "edit", "field"),
    [
        (["banjo"], Edit(), "stems"),
        (["bass"], Edit(["banjo"]), "regenerate"),
        (["bass"], Edit(silent=["bass"]), "silent"),
        (["bass"], Edit(silent=["banjo"]), "silent"),
        (["bass", "drums", "other"], Edit(), "regenerate"),
        (["bass", "drums", "other"], Edit(["bass", "drums", "other"]), "regenerate"),
        (["bass", "drums", "other"], Edit(texture=["bass"]), "texture"),
        (["bass", "drums"], Edit(texture=["other"]), "texture"),
        (["bass", "drums", "other"], Edit(["other"], texture=["other"]), "texture"),
        (["bass", "drums", "other"], Edit(["bass"], region=(0.4, 0.6)), "region"),
        (["bass", "drums", "other"], Edit(["bass"], region=(0.3, 0.3)), "region"),
        (["bass", "drums", "other"], Edit(["bass"], region=(-0.1, 0.3)), "region"),
        (["bass", "drums", "other"], Edit(["bass"], region=(0.1, float("nan"))), "region"),
        (["drums", "other"], Edit(["bass"], region=(0.1, 0.3)), "region"),
        (["drums", "other"], Edit(region=(0.1, 0.3)), "regenerate"),
    ],
)
def test_contradictions_are_refused(assembly: Assembly, given: list[str], edit: Edit, field: str) -> None:
    with pytest.raises(StemsError) as caught:
        assembly.edit(sources({name: noise(0.5) for name in given}), edit)
    assert caught.value.field == field


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), 21.0])
def test_impossible_lengths_are_refused(assembly: Assembly, seconds: float) -> None:
    with pytest.raises(StemsError, match="Cannot generate"):
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
