"""NeMo's manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.trees import put, put_lines

from models.errors import StemsError
from pipelines.catalog.load import import_catalog, read_songs
from pipelines.catalog.source import Source


@pytest.mark.parametrize("name", ["train.json", "train.jsonl", "train.jsonl.gz"])
def test_files_with_text_and_length(tmp_path: Path, name: str) -> None:
    put(tmp_path / "a.wav")
    (entry,) = import_catalog(
        str(put_lines(tmp_path / name, [{"audio_filepath": "a.wav", "duration": 12.5, "text": "loud", "offset": 0}]))
    )
    assert (entry.uri, entry.caption, entry.seconds) == (str(tmp_path / "a.wav"), "loud", 12.5)


def test_parts_are_taken_once_whole_without_the_length_of_a_part(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        put(tmp_path / name)
    rows = [
        {"audio_filepath": "a.wav", "duration": 5, "offset": 10, "text": "the middle"},
        {"audio_filepath": "b.wav", "duration": 5},
        {"audio_filepath": "./b.wav", "duration": 6, "text": "second"},
        {"audio_filepath": "c.wav", "duration": 7},
    ]
    source = Source(str(put_lines(tmp_path / "all.jsonl", rows)))
    songs = read_songs(source)
    assert [(song.title, song.seconds, song.caption) for song in songs] == [
        ("a", 0.0, "the middle"),
        ("b", 0.0, "second"),
        ("c", 7.0, ""),
    ]
    assert ["line 1" in str(problem) for problem in source.problems.found] == [True, False]
    assert "line 2: 'b.wav' is listed in 2 parts; it is read once, as a whole." in str(source.problems.found[1])


def test_a_line_without_a_file(tmp_path: Path) -> None:
    path = put_lines(tmp_path / "all.jsonl", [{"audio_filepath": "a.wav"}, {"duration": 3}])
    with pytest.raises(StemsError, match="line 2: the line names no file"):
        import_catalog(str(path))
