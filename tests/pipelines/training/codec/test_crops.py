"""Stems in an object store are the stems of a folder, copied when they are first heard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from models.audio.files import Audio, encode_audio, write_audio
from models.errors import StemsError
from pipelines.catalog.storage.stores import Store, Unreachable
from pipelines.training.codec.crops import StemCrops, find_stems

RATE = 32_000
STORE = "memory:///stems"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three songs, longer than what is read to know their length, one in both formats; and one without the stem."""
    for song, rate in enumerate((RATE, 44_100, RATE)):
        noise = np.random.default_rng(song).normal(0, 0.1, (2, 3 * rate + song)).astype(np.float32)
        write_audio(tmp_path / "songs" / f"song {song}" / f"bass.{('flac', 'wav', 'flac')[song]}", Audio(noise, rate))
    write_audio(tmp_path / "songs" / "song 2" / "bass.wav", Audio(noise[:, :RATE], RATE))
    write_audio(tmp_path / "songs" / "without" / "drums.flac", Audio(noise, RATE))
    write_audio(tmp_path / "songs" / "without" / "old" / "bass.flac", Audio(noise, RATE))
    return tmp_path / "songs"


@pytest.fixture
def store(folder: Path) -> Iterator[str]:
    """The same songs in a store."""
    files = fsspec.filesystem("memory")
    files.put(f"{folder}/", STORE, recursive=True)
    yield STORE
    files.rm(STORE, recursive=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*")}


def test_they_are_the_stems_of_the_folder(folder: Path, store: str, tmp_path: Path) -> None:
    here, there = find_stems(folder, "bass"), find_stems(store, "bass", tmp_path / "copies")
    assert [(file.song, file.seconds) for file in there] == [(file.song, file.seconds) for file in here]
    assert [file.song for file in there] == ["song 0", "song 1", "song 2"]
    for memory in (1, 2**30):
        first, second = StemCrops(here, RATE, memory), StemCrops(there, RATE, memory)
        assert first.keeps == second.keeps == (memory > 1)
        for index in range(6):
            assert np.array_equal(first.draw(0, 0, index, 4000), second.draw(0, 0, index, 4000))


def test_a_song_is_copied_when_it_is_first_heard_and_once(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Store, "read", None)  # headers are enough
        files = find_stems(store, "bass", tmp_path / "copies")
    assert names(tmp_path / "copies") == set()
    first = StemCrops(files[:1], RATE, 1).draw(0, 0, 0, 4000)
    assert names(tmp_path / "copies") == {files[0].path.name}
    monkeypatch.setattr(Store, "read", None)
    monkeypatch.setattr(Store, "head", None)
    again = StemCrops(files[:1], RATE, 2**30)
    np.testing.assert_allclose(again.draw(0, 0, 0, 4000), first, atol=1e-4)
    assert files[0].sound.seconds() == files[0].seconds


def test_a_file_that_changes_is_another_one(folder: Path, store: str, tmp_path: Path) -> None:
    before = StemCrops(find_stems(store, "bass", tmp_path / "copies")[:1], RATE, 1).draw(0, 0, 0, 4000)
    changed = Audio(np.full((1, 2 * RATE), 0.25, np.float32), RATE)
    fsspec.filesystem("memory").pipe_file(f"{STORE}/song 0/bass.flac", encode_audio(changed, "flac"))
    [file, *_] = find_stems(store, "bass", tmp_path / "copies")
    assert file.seconds == 2
    assert np.ptp(StemCrops([file], RATE, 1).draw(0, 0, 0, 4000)) < 1e-3 < np.ptp(before)


def test_a_header_longer_than_what_is_read_of_it_is_read_in_a_copy(store: str, tmp_path: Path) -> None:
    sound = encode_audio(Audio(np.full((1, 5 * RATE), 0.1, np.float32), RATE), "wav")
    head, chunk = sound.index(b"data"), b"junk" + (2**17).to_bytes(4, "little") + bytes(2**17)
    content = sound[:4] + (len(sound) + len(chunk) - 8).to_bytes(4, "little") + sound[8:head] + chunk + sound[head:]
    fsspec.filesystem("memory").pipe_file(f"{STORE}/song 1/bass.wav", content)
    file = find_stems(store, "bass", tmp_path / "copies")[1]
    assert file.seconds == 5
    assert names(tmp_path / "copies") == {file.path.name}


def test_broken_stems_are_passed_over_and_named_by_their_address(
    store: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = fsspec.filesystem("memory")
    whole = files.cat_file(f"{STORE}/song 0/bass.flac")
    for song, content in (("song 0", whole[: len(whole) // 2]), ("song 1", b""), ("song 2", b"dust")):
        files.pipe_file(f"{STORE}/{song}/bass.flac", content)
    found = find_stems(store, "bass", tmp_path / "copies")
    assert [file.path.suffix for file in found] == [".flac", ".wav", ".wav"]
    assert f"'{STORE}/song 1/bass.flac' is an empty file" in caplog.text
    assert f"'{STORE}/song 2/bass.flac' cannot be read" in caplog.text
    files.rm_file(f"{STORE}/song 1/bass.wav")
    for file, said in zip(
        found, ("song 0/bass.flac' breaks off", "song 1/bass.wav' cannot be fetched"), strict=False
    ):
        with pytest.raises(StemsError, match=f"Almost none of the 1 songs around '{STORE}/{file.song}/bass"):
            StemCrops([file], RATE, 2**30).draw(0, 0, 0, 4000)
        assert f"'{STORE}/{said}" in caplog.text


def test_a_store_that_stays_away_ends_training(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Store, *_: object) -> bytes:
        raise Unreachable(self.uri, "no route")

    files = find_stems(store, "bass", tmp_path / "copies")
    monkeypatch.setattr(Store, "read", away)
    monkeypatch.setattr(Store, "head", away)
    with pytest.raises(Unreachable):
        StemCrops(files, RATE, 1).draw(0, 0, 0, 4000)
    with pytest.raises(Unreachable):
        find_stems(store, "bass", tmp_path / "others")


def test_what_is_missing_is_named(store: str) -> None:
    for folder, stem in ((store, "kazoo"), ("memory://nowhere", "bass")):
        with pytest.raises(StemsError, match=f"No song in {folder} has a stem '{stem}'") as caught:
            find_stems(folder, stem)
        assert (caught.value.code, caught.value.field) == ("missing", "stems")
