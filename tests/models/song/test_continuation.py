"""A song goes on: what was given stays, and what follows fits it without a click."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tiny import LAYOUT, RATE, noise, sources, tiny_assembly_directory

from models.audio.files import Audio
from models.errors import StemsError
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.continuation import Continuation
from models.song.draft import FADE
from models.song.edit import Edit
from models.song.source import Source

SAMPLING = Sampling(seed=5)
HOP = 640


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    return Assembly.load(tiny_assembly_directory(tmp_path_factory.mktemp("model")))


def stems(samples: int, longer: int = 0) -> dict[str, Audio]:
    """Quiet noise in each stem; in all but the bass, ``longer`` samples more."""
    lengths = {name: samples if name == "bass" else samples + longer for name in LAYOUT.names}
    return {name: noise(count / RATE, seed=i) for i, (name, count) in enumerate(lengths.items())}


def hums(samples: int) -> dict[str, Audio]:
    """A low tone in each stem, with steps of at most 0.004 between samples."""
    time = np.arange(samples, dtype=np.float32) / RATE
    return {
        name: Audio(0.3 * np.cos(2 * np.pi * (40 + 10 * i) * time)[None].astype(np.float32), RATE)
        for i, name in enumerate(LAYOUT.names)
    }


@pytest.mark.parametrize("samples", [1, 100, 30 * HOP, 30 * HOP + 123, 125 * HOP + 1])
def test_a_song_of_any_length_stays_to_the_sample_and_goes_on(assembly: Assembly, samples: int) -> None:
    given = stems(samples)
    song = assembly.extend(sources(given), Continuation(0.5), sampling=SAMPLING)
    known = samples // HOP
    for name in LAYOUT.names:
        assert len(song.stems[name]) == samples + 16_000
        assert np.array_equal(song.stems[name][:samples], given[name].samples[0])
        assert np.abs(song.stems[name][samples + FADE :]).max() > 0.01
        before = assembly.encode_stem(name, given[name].samples[0]).numpy()
        assert np.array_equal(song.codes[LAYOUT.slice(name), :known], before[:, :known])
    assert song.codes.shape == (LAYOUT.streams, -(-(samples + 16_000) // HOP))


def test_given_sound_is_kept_as_it_is_in_mono_at_the_models_rate(assembly: Assembly) -> None:
    given = {name: noise(0.7, rate=44_100, channels=2, seed=i) for i, name in enumerate(LAYOUT.names)}
    song = assembly.extend(sources(given), Continuation(0.5), sampling=SAMPLING)
    for name, audio in given.items():
        kept = audio.mono().resample(RATE).samples[0]
        assert np.array_equal(song.stems[name][: len(kept)], kept)


def test_the_frame_in_which_the_song_ends_is_written(assembly: Assembly) -> None:
    """Its code would say that the sound stops there."""
    draft = assembly.draft_continuation(
        sources(stems(30 * HOP + 123)), Continuation(0.5), prompt="", sampling=SAMPLING
    )
    assert draft.request.grid.known.sum(dim=1).tolist() == [30] * LAYOUT.streams


@pytest.mark.parametrize("samples", [7, 30 * HOP, 30 * HOP + 123])
def test_the_seam_has_no_click(assembly: Assembly, samples: int) -> None:
    given = hums(samples)
    song = assembly.extend(sources(given), Continuation(0.5), sampling=SAMPLING)
    for name in LAYOUT.names:
        steps = np.abs(np.diff(song.stems[name]))
        around = max(steps[: samples - 1].max(initial=0), steps[samples + FADE :].max())
        assert steps[samples - 1 : samples + FADE].max() <= around
        assert steps[samples - 1] <= steps[max(0, samples - 3) : samples - 1].max(initial=0.004)


def test_the_same_seed_gives_the_same_continuation(assembly: Assembly) -> None:
    first, second, other = (
        assembly.extend(sources(stems(20_000)), Continuation(0.5), sampling=Sampling(seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.mix, second.mix)
    assert not np.array_equal(first.codes, other.codes)


def test_a_continuation_past_the_window_slides_on(assembly: Assembly) -> None:
    """A training window of this model is 60 frames."""
    short, long = (
        assembly.extend(sources(stems(20 * HOP)), Continuation(seconds), sampling=SAMPLING) for seconds in (0.8, 3.0)
    )
    assert long.codes.shape[1] == 170
    assert np.array_equal(long.codes[:, :60], short.codes)
    assert np.abs(long.mix[-RATE:]).max() > 0.01


def test_what_the_song_was_decides_how_it_goes_on(assembly: Assembly) -> None:
    given = stems(50 * HOP)
    other = {name: noise(1.0, seed=90 + i) for i, name in enumerate(LAYOUT.names)}
    one, another = (assembly.extend(sources(each), Continuation(1.0), sampling=SAMPLING) for each in (given, other))
    assert not np.array_equal(one.codes[:, 50:], another.codes[:, 50:])


def test_named_stems_go_on_to_fit_the_others(assembly: Assembly) -> None:
    given = stems(40 * HOP + 5, longer=RATE)
    song = assembly.extend(sources(given), Continuation(1.0, ["bass"]), sampling=SAMPLING)
    assert np.array_equal(song.stems["bass"][: 40 * HOP + 5], given["bass"].samples[0])
    assert np.abs(song.stems["bass"][-8_000:]).max() > 0.01
    for name in ("drums", "other"):
        assert np.array_equal(song.stems[name], given[name].samples[0])
        assert np.array_equal(
            song.codes[LAYOUT.slice(name)], assembly.encode_stem(name, given[name].samples[0]).numpy()
        )


def test_silence_follows_a_stem_that_ends_earlier(assembly: Assembly) -> None:
    given = stems(30 * HOP, longer=1_000)
    song = assembly.extend(sources(given), Continuation(0.5), sampling=SAMPLING)
    assert not song.stems["bass"][30 * HOP : 30 * HOP + 1_000].any()
    assert {len(sound) for sound in song.stems.values()} == {30 * HOP + 17_000}


def test_known_codes_are_the_input_and_are_not_encoded_again(assembly: Assembly) -> None:
    rng, seconds = np.random.default_rng(1), 1.0
    given = {
        stem.name: Source(noise(seconds, seed=i), rng.integers(16, size=(stem.codebooks, 50)).astype(np.int16))
        for i, stem in enumerate(LAYOUT.stems)
    }
    known = np.concatenate([given[name].codes for name in LAYOUT.names])
    extended = assembly.extend(given, Continuation(0.5), sampling=SAMPLING)
    assert np.array_equal(extended.codes[:, :50], known)
    edited = assembly.edit(given, Edit(["bass"]), sampling=SAMPLING)
    assert np.array_equal(edited.codes[1:], known[1:])
    varied = assembly.edit(given, Edit(texture=["other"]), sampling=SAMPLING)
    assert np.array_equal(varied.codes[:3], known[:3])
    assert not np.array_equal(varied.codes[3], known[3])


def test_codes_that_end_before_the_sound_are_not_used(assembly: Assembly) -> None:
    given = sources(stems(50 * HOP, longer=HOP))
    shorter = given | {"bass": Source(given["bass"].sound, np.zeros((1, 50), np.int16))}
    song = assembly.edit(shorter, Edit(["drums"]), sampling=SAMPLING)
    assert song.codes[0, :50].any()


@pytest.mark.parametrize(
    "codes", [np.zeros((2, 50), np.int16), np.full((1, 50), 16, np.int16), np.zeros(50, np.int16)]
)
def test_codes_of_another_codec_are_refused(assembly: Assembly, codes: np.ndarray) -> None:
    given = sources(stems(50 * HOP))
    with pytest.raises(StemsError, match="codes given for 'bass'"):
        assembly.extend(given | {"bass": Source(given["bass"].sound, codes)}, Continuation(0.5), sampling=SAMPLING)


@pytest.mark.parametrize(
    ("given", "continuation", "field"),
    [
        (stems(20_000), Continuation(0.0), "seconds"),
        (stems(20_000), Continuation(-1.0), "seconds"),
        (stems(20_000), Continuation(float("nan")), "seconds"),
        (stems(20_000), Continuation(float("inf")), "seconds"),
        (stems(20_000), Continuation(1e308), "seconds"),
        (stems(20_000), Continuation(19.5), "seconds"),
        (stems(20_000), Continuation(1.0, ["banjo"]), "regenerate"),
        (stems(20_000), Continuation(1.0, []), "regenerate"),
        (stems(20_000), Continuation(1.0, ["bass"]), "regenerate"),
        (stems(20_000) | {"banjo": noise(0.6)}, Continuation(1.0), "song"),
        ({"bass": noise(0.6), "drums": noise(0.6)}, Continuation(1.0), "song"),
        (stems(0), Continuation(1.0), "song"),
        ({}, Continuation(1.0), "song"),
    ],
)
def test_a_continuation_that_cannot_be_is_refused(
    assembly: Assembly, given: dict[str, Audio], continuation: Continuation, field: str
) -> None:
    with pytest.raises(StemsError) as caught:
        assembly.extend(sources(given), continuation, sampling=SAMPLING)
    assert caught.value.field == field
