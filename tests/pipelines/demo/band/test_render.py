from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.audio.files import read_audio
from models.errors import StemsError
from pipelines.demo.band import render
from pipelines.demo.band.render import RenderedSong, render_catalog, render_multitracks

SECONDS = 2.5


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RenderedSong]]:
    root = tmp_path_factory.mktemp("demo")
    songs = render_catalog(root / "songs", 12, 9, 4, SECONDS, truth=root / "truth", broken=True, workers=1)
    return root, songs


def test_every_mix_is_readable_and_as_long_as_asked(catalog: tuple[Path, list[RenderedSong]]) -> None:
    root, songs = catalog
    assert len(songs) == 12
    for song in songs:
        assert song.file is not None
        assert song.file.parent == root / "songs"
        assert read_audio(song.file).seconds == pytest.approx(SECONDS, abs=0.15)
    assert len({song.file.suffix for song in songs if song.file}) >= 3
    assert len({(a.rate, a.samples.shape[0]) for a in (read_audio(s.file) for s in songs if s.file)}) >= 3


def test_broken_files_are_broken(catalog: tuple[Path, list[RenderedSong]]) -> None:
    folder = catalog[0] / "songs"
    with pytest.raises(StemsError) as broken:
        read_audio(folder / render.BROKEN_FILE)
    assert broken.value.code == "unreadable"
    with pytest.raises(StemsError) as empty:
        read_audio(folder / render.EMPTY_FILE)
    assert empty.value.code == "empty"


def test_every_song_has_its_words_in_one_place(catalog: tuple[Path, list[RenderedSong]]) -> None:
    root, songs = catalog
    lines = (root / "songs" / render.MANIFEST).read_text().splitlines()
    listed = {entry["file_name"]: entry for entry in map(json.loads, lines)}
    for song in songs:
        assert song.file is not None
        found = [listed[song.file.name]["caption"]] if song.file.name in listed else []
        if (sidecar := song.file.with_suffix(".json")).exists():
            found.append(json.loads(sidecar.read_text())["caption"])
        if (text := song.file.with_suffix(".txt")).exists():
            found.append(text.read_text().strip())
        assert found == [song.caption]


def test_some_songs_are_sung_and_few_say_so(catalog: tuple[Path, list[RenderedSong]]) -> None:
    songs = catalog[1]
    sung = [song for song in songs if song.sung]
    assert len(sung) == 4
    assert sum(song.singing_said for song in sung) == 1
    for song in songs:
        assert ("vocals" in song.stems) == song.sung
        assert bool({"vocals", "singing"} & set(song.tags)) == song.singing_said


def test_truth_holds_stems_that_sum_to_the_mix(catalog: tuple[Path, list[RenderedSong]]) -> None:
    root, songs = catalog
    song = next(song for song in songs if song.file and song.file.suffix == ".flac")
    mix = read_audio(song.file or "").stereo().resample(44_100)
    total = sum(read_audio(file).samples for file in song.stems.values())
    assert isinstance(total, np.ndarray)
    wide = read_audio(song.file or "").samples.shape[0] == 2
    reference = total if wide else np.repeat(total.mean(axis=0, keepdims=True), 2, axis=0)
    n = min(mix.samples.shape[1], total.shape[1])
    assert np.abs(mix.samples[:, :n] - reference[:, :n]).max() < 2e-3
    truth = json.loads((root / "truth" / song.name / render.TRUTH_FILE).read_text())
    assert truth["caption"] == song.caption
    assert truth["sung"] == song.sung
    assert len(truth["beats"]) > 1


def test_multitracks_are_the_same_from_one_process_or_two(tmp_path: Path) -> None:
    once = render_multitracks(tmp_path / "a", 2, 4, SECONDS, sung=1, workers=1)
    again = render_multitracks(tmp_path / "b", 2, 4, SECONDS, sung=1, workers=2)
    assert [song.name for song in once] == [song.name for song in again]
    assert sum(song.sung for song in once) == 1
    for song in once:
        assert {path.name for path in (tmp_path / "a" / song.name).iterdir()} == {
            *(f"{stem}.flac" for stem in song.stems),
            render.TRUTH_FILE,
        }
        for stem, file in song.stems.items():
            other = tmp_path / "b" / song.name / f"{stem}.flac"
            # Two 16-bit files may differ by a rounding where threads add up in another order.
            assert np.abs(read_audio(file).samples - read_audio(other).samples).max() <= 2 / 32768
