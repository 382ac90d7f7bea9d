"""Multitrack folders and the examples mixed from them."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pytest

from models.audio.files import Audio, encode_audio, write_audio
from models.errors import StemsError
from pipelines.training.data.sampler import rng
from pipelines.training.separator.multitracks import Mixer, Multitrack, hold_out, read_multitracks

SOURCES = ("drums", "bass", "vocals")
RATE = 8000


def constant(value: float, samples: int = 800) -> Audio:
    return Audio(np.full((2, samples), value, np.float32), RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, stems in {"a": {"drums": 0.1, "bass": 0.2}, "b c": {"bass": 0.3, "vocals": 0.4}}.items():
        for stem, value in stems.items():
            write_audio(tmp_path / name / f"{stem}.flac", constant(value))
    write_audio(tmp_path / "a" / "mix.flac", constant(0.3))
    write_audio(tmp_path / "no stems" / "mix.flac", constant(0.3))
    return tmp_path


def test_songs_are_read_and_missing_stems_are_silent(folder: Path) -> None:
    a, b = read_multitracks(folder, SOURCES, RATE, 1.0)
    assert (a.name, b.name) == ("a", "b c")
    assert set(a.stems) == {"drums", "bass"}
    np.testing.assert_allclose(a.whole(SOURCES)[:, 0, 0], [0.1, 0.2, 0.0], atol=1e-4)
    assert a.whole(SOURCES).shape == (3, 2, 800)
    past_the_end = b.excerpt("vocals", 700, 200)
    np.testing.assert_allclose(past_the_end[1, [0, 99, 100, 199]], [0.4, 0.4, 0.0, 0.0], atol=1e-4)


def test_other_rates_and_mono_become_stereo_at_the_rate(folder: Path) -> None:
    write_audio(folder / "a" / "drums.flac", Audio(np.full((1, 1600), 0.1, np.float32), 2 * RATE))
    assert read_multitracks(folder, SOURCES, RATE, 1.0)[0].stems["drums"].shape == (2, 800)


def test_songs_of_a_store_are_the_songs_of_the_folder(folder: Path, tmp_path: Path) -> None:
    store, files = "memory:///multitracks", fsspec.filesystem("memory")
    files.put(f"{folder}/", store, recursive=True)
    here = read_multitracks(folder, SOURCES, RATE, 1.0)
    there = read_multitracks(store, SOURCES, RATE, 1.0, tmp_path / "copies")
    assert [song.name for song in there] == ["a", "b c"]
    for one, other in zip(here, there, strict=True):
        assert set(one.stems) == set(other.stems)
        assert np.array_equal(one.whole(SOURCES), other.whole(SOURCES))
    noise = np.random.default_rng(0).normal(0, 0.1, (2, RATE)).astype(np.float32)
    files.pipe_file(f"{store}/a/bass.flac", encode_audio(Audio(noise, RATE), "flac")[:9999])
    with pytest.raises(StemsError, match=f"'{store}/a/bass.flac'"):
        read_multitracks(store, SOURCES, RATE, 1.0, tmp_path / "copies")
    files.rm(store, recursive=True)


def test_what_is_wrong_with_a_folder_is_named(folder: Path) -> None:
    with pytest.raises(StemsError, match="no stems in"):
        read_multitracks(folder / "nowhere", SOURCES, RATE, 1.0)
    with pytest.raises(StemsError, match="stem 'piano'"):
        read_multitracks(folder, (*SOURCES, "piano"), RATE, 1.0)
    with pytest.raises(StemsError, match="GB") as caught:
        read_multitracks(folder, SOURCES, RATE, 1e-6)
    assert caught.value.field == "memory_gb"
    (folder / "a" / "bass.flac").write_text("not audio")
    with pytest.raises(StemsError, match=r"bass\.flac"):
        read_multitracks(folder, SOURCES, RATE, 1.0)


def track(name: str, **values: int) -> Multitrack:
    return Multitrack(name, {stem: np.full((2, 400), 1000 * v, np.int16) for stem, v in values.items()})


def test_held_out_songs_are_apart_and_of_every_kind() -> None:
    songs = [track(f"s{k}", drums=1, bass=1, **({"vocals": 1} if k % 2 else {})) for k in range(8)]
    train, held = hold_out(songs, 4)
    assert sorted(song.name for song in train + held) == [f"s{k}" for k in range(8)]
    assert sum("vocals" in song.stems for song in held) == 2
    assert hold_out(songs[::-1], 4) == (train, held)
    with pytest.raises(StemsError, match="too few to hold out"):
        hold_out(songs, 8)


def mixer(songs: list[Multitrack], remix: float = 0.5, vocals: float = 0.5) -> Mixer:
    return Mixer(songs, SOURCES, 100, "vocals", vocals, remix)


def test_examples_are_pure_functions_of_their_place() -> None:
    songs = [track("a", drums=1, bass=2), track("b", drums=3, bass=4, vocals=5)]
    first = mixer(songs).draw(rng(1, 2, 3))
    np.testing.assert_array_equal(first, mixer(songs).draw(rng(1, 2, 3)))
    assert not np.array_equal(first, mixer(songs).draw(rng(1, 2, 4)))
    assert first.shape == (3, 2, 100)
    assert first.dtype == np.float32


def test_vocals_are_in_their_share_of_examples_and_never_alone_missing() -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, (2, 400)).astype(np.int16)
    songs = [Multitrack("a", {"drums": noise, "bass": noise}) for _ in range(9)]
    songs.append(Multitrack("b", {"drums": noise, "bass": noise, "vocals": noise}))
    for remix in (0.0, 1.0):
        drawn = [mixer(songs, remix).draw(rng(0, 0, k)) for k in range(300)]
        sung = np.mean([example[2].any() for example in drawn])
        assert 0.42 < sung < 0.58
        assert all(example[0].any() and example[1].any() for example in drawn)
        assert np.mean([example.sum(0).std() for example in drawn]) == pytest.approx(1, abs=0.01)


def test_remixing_takes_stems_of_different_songs() -> None:
    # The songs alternate every sample, and every second one, which no gain, polarity or start can hide.
    fast, slow = np.tile([1000, -1000], (2, 200)), np.tile([1000, 1000, -1000, -1000], (2, 100))
    songs = [Multitrack(str(k), {s: wave.astype(np.int16) for s in SOURCES}) for k, wave in enumerate((fast, slow))]

    def is_fast(stem: np.ndarray) -> bool:
        return bool(np.allclose(stem[:, 1:], -stem[:, :-1]))

    def mixed(remix: float) -> float:
        examples = [mixer(songs, remix).draw(rng(0, 0, k)) for k in range(200)]
        return float(np.mean([is_fast(example[0]) != is_fast(example[1]) for example in examples]))

    assert mixed(0.0) == 0
    assert 0.4 < mixed(1.0) < 0.6
