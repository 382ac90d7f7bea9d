"""Folders of songs that come with their stems: MUSDB18-HQ, MoisesDB, Slakh2100, and kept stems."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers.trees import put

from models.errors import StemsError
from pipelines.catalog.load import import_catalog, read_songs
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source


def stems_of(entry: CatalogEntry, root: Path) -> dict[str, list[str]]:
    return {stem.name: [uri.removeprefix(f"{root}/") for uri in stem.uris] for stem in entry.stems}


def musdb(root: Path) -> Path:
    for song in ("train/Artist - Song", "test/Another - One"):
        for name in ("mixture", "bass", "drums", "other", "vocals"):
            put(root / song / f"{name}.wav", name)
    return root


MOISES = {
    "song": "The Song",
    "artist": "Somebody",
    "genre": "rock",
    "stems": [
        {"id": "s1", "stemName": "bass", "tracks": [{"id": "t1", "trackType": "bass_guitar", "extension": "wav"}]},
        {"id": "s2", "stemName": "guitar", "tracks": [{"id": "t2"}, {"id": "t3"}]},
        {"id": "s3", "stemName": "piano", "tracks": [{"id": "t4"}]},
    ],
}


def moisesdb(root: Path) -> Path:
    song = root / "moisesdb_v0.1" / "0a1b"
    put(song / "data.json", json.dumps(MOISES))
    for name in ("bass/t1", "guitar/t2", "guitar/t3", "piano/t4"):
        put(song / f"{name}.wav")
    return root


SLAKH = {
    "UUID": "x",
    "stems": {
        "S00": {"inst_class": "Bass", "is_drum": False, "audio_rendered": True},
        "S01": {"inst_class": "Percussive", "is_drum": True, "audio_rendered": True},
        "S02": {"inst_class": "Piano", "is_drum": False, "audio_rendered": True},
        "S03": {"inst_class": "Bass", "is_drum": False, "audio_rendered": True},
        "S04": {"inst_class": "Guitar", "is_drum": False, "audio_rendered": False},
    },
}


def slakh(root: Path) -> Path:
    track = root / "train" / "Track00001"
    put(track / "metadata.yaml", yaml.safe_dump(SLAKH))
    put(track / "mix.flac")
    for key in ("S00", "S01", "S02", "S03"):
        put(track / "stems" / f"{key}.flac")
    return root


def kept(root: Path) -> Path:
    for stem in ("bass", "drums", "guitar"):
        put(root / "a song-0123" / f"{stem}.flac", stem)
    put(root / "b-4567" / "bass.flac")
    put(root / "b-4567" / "bass.wav")
    put(root / "b-4567" / "other.wav")
    put(root / "b-4567" / "mix.wav")
    put(root / "metadata.jsonl", json.dumps({"file_name": "a song-0123", "caption": "said", "tags": ["calm"]}))
    return root


def test_musdb_is_read_with_its_stems(tmp_path: Path) -> None:
    another, song = import_catalog(str(musdb(tmp_path)))
    folder = "train/Artist - Song"
    assert (song.title, song.uri) == ("Artist - Song", str(tmp_path / folder / "mixture.wav"))
    assert stems_of(song, tmp_path) == {
        name: [f"{folder}/{name}.wav"] for name in ("bass", "drums", "other", "vocals")
    }
    assert song.size == len("bassdrumsothervocals")
    assert another.title == "Another - One"


def test_moisesdb_sums_what_is_neither_bass_nor_drums_nor_vocals(tmp_path: Path) -> None:
    (song,) = import_catalog(str(moisesdb(tmp_path)))
    folder = "moisesdb_v0.1/0a1b"
    assert (song.title, song.tags, song.uri) == ("The Song", ("rock",), str(tmp_path / folder))
    assert stems_of(song, tmp_path) == {
        "bass": [f"{folder}/bass/t1.wav"],
        "other": [f"{folder}/{name}.wav" for name in ("guitar/t2", "guitar/t3", "piano/t4")],
    }
    assert song.size == 4 * 5


def test_slakh_sums_instruments_of_a_kind(tmp_path: Path) -> None:
    (song,) = import_catalog(str(slakh(tmp_path)))
    folder = "train/Track00001"
    assert (song.title, song.uri) == ("Track00001", str(tmp_path / folder / "mix.flac"))
    assert stems_of(song, tmp_path) == {
        "bass": [f"{folder}/stems/S00.flac", f"{folder}/stems/S03.flac"],
        "drums": [f"{folder}/stems/S01.flac"],
        "other": [f"{folder}/stems/S02.flac"],
    }
    assert song.tags == ("Bass", "Percussive", "Piano", "Guitar")


def test_kept_stems_keep_their_names(tmp_path: Path) -> None:
    a, b = import_catalog(str(kept(tmp_path)))
    assert stems_of(a, tmp_path) == {name: [f"a song-0123/{name}.flac"] for name in ("bass", "drums", "guitar")}
    assert (a.uri, a.caption, a.tags) == (str(tmp_path / "a song-0123"), "said", ("calm",))
    assert b.uri == str(tmp_path / "b-4567" / "mix.wav")
    assert stems_of(b, tmp_path) == {"bass": ["b-4567/bass.flac"], "other": ["b-4567/other.wav"]}


def test_audio_beside_songs_with_stems_makes_a_folder_of_audio(tmp_path: Path) -> None:
    put(kept(tmp_path) / "more" / "a song.wav")
    assert not any(entry.stems for entry in import_catalog(str(tmp_path)))
    assert len(import_catalog(str(tmp_path), format="multitrack")) == 2


Layout = Callable[[Path], Path]
LAYOUTS: list[tuple[Layout, str, str]] = [
    (musdb, "Artist - Song", "train/Artist - Song/bass.wav"),
    (moisesdb, "0a1b", "moisesdb_v0.1/0a1b/guitar/t3.wav"),
    (slakh, "Track00001", "train/Track00001/stems/S03.flac"),
    (kept, "a song-0123", "a song-0123/drums.flac"),
]


@pytest.mark.parametrize(("layout", "song", "stem"), LAYOUTS)
def test_a_changed_stem_changes_its_song_alone(tmp_path: Path, layout: Layout, song: str, stem: str) -> None:
    before = {entry.uri: entry.fingerprint for entry in import_catalog(str(layout(tmp_path)))}
    os.utime(tmp_path / stem, ns=(1, 1))
    after = {entry.uri: entry.fingerprint for entry in import_catalog(str(tmp_path))}
    changed = [uri for uri in before if before[uri] != after[uri]]
    assert len(changed) == 1
    assert song in changed[0]


@pytest.mark.parametrize(("layout", "song", "stem"), [LAYOUTS[1], LAYOUTS[2]])
def test_a_stem_that_is_named_and_not_there_is_said(tmp_path: Path, layout: Layout, song: str, stem: str) -> None:
    (layout(tmp_path) / stem).unlink()
    source = Source(str(tmp_path))
    (entry,) = read_songs(source)
    assert song in entry.uri
    assert [str(problem) for problem in source.problems.found] == [f"{tmp_path / stem}: there is no such file."]
    assert any(str(tmp_path / stem) in given.uris for given in entry.stems)


def test_a_song_without_one_of_musdbs_stems_is_said(tmp_path: Path) -> None:
    (musdb(tmp_path) / "train/Artist - Song/vocals.wav").unlink()
    source = Source(str(tmp_path))
    assert [len(song.stems) for song in read_songs(source)] == [4, 3]
    (problem,) = source.problems.found
    assert "train/Artist - Song: the song lacks 'vocals'" in str(problem)


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("0a1b/data.json", '{"song": "x"}', "has no 'stems'"),
        ("0a1b/data.json", '{"stems": [{"stemName": 3}]}', "without 'stemName'"),
        ("Track1/metadata.yaml", "stems: [", "is not YAML"),
        ("Track1/metadata.yaml", "!!python/object/apply:os.getcwd []", "is not YAML"),
        ("Track1/metadata.yaml", "stems: 3", "has no 'stems'"),
    ],
)
def test_a_bad_description_is_named(tmp_path: Path, file: str, text: str, said: str) -> None:
    put(tmp_path / file, text)
    put(tmp_path / "0a1b" / "bass" / "t1.wav")
    with pytest.raises(StemsError, match=said) as error:
        import_catalog(str(tmp_path))
    assert str(tmp_path / file) in error.value.message
    assert error.value.hint
