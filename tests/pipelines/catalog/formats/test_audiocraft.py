"""Audiocraft's lists, with the JSON beside each file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.trees import put, put_lines

from models.errors import StemsError
from pipelines.catalog.load import import_catalog


def line(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "duration": 30.5, "sample_rate": 32000, "amplitude": None, "weight": None, **more}


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
@pytest.mark.parametrize("named", [True, False], ids=["file", "folder"])
def test_a_list_with_descriptions(tmp_path: Path, name: str, named: bool) -> None:
    for file in ("a.mp3", "b.mp3", "c.mp3"):
        put(tmp_path / "audio" / file)
    info = {
        "title": "A Dub",
        "artist": "nobody",
        "description": "slow  dub",
        "genre": "dub",
        "moods": ["calm", "dark"],
        "keywords": "bass, dub",
        "instrument": "Mix",
        "bpm": 70,
    }
    put(tmp_path / "audio" / "a.json", json.dumps(info))
    put(tmp_path / "info" / "b.json", json.dumps({"name": "B", "keywords": None}))
    rows = [line("audio/a.mp3"), line("audio/b.mp3", info_path="info/b.json"), line(f"{tmp_path}/audio/c.mp3")]
    manifest = put_lines(tmp_path / name, rows)
    a, b, c = import_catalog(str(manifest if named else tmp_path))
    assert (a.title, a.caption, a.tags) == ("A Dub", "slow dub", ("dub", "calm", "dark", "bass"))
    assert (a.uri, a.size, a.seconds) == (str(tmp_path / "audio" / "a.mp3"), 5, 30.5)
    assert (b.title, b.caption, b.tags) == ("B", "", ())
    assert (c.title, c.uri) == ("c", str(tmp_path / "audio" / "c.mp3"))


def test_a_bad_description_names_its_file(tmp_path: Path) -> None:
    put(tmp_path / "a.mp3")
    put(tmp_path / "a.json", '{"description": 3}')
    with pytest.raises(StemsError, match=r"a\.json, line 1: .*'description' that is not text"):
        import_catalog(str(put_lines(tmp_path / "data.jsonl", [line("a.mp3")])))
