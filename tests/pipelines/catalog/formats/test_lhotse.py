"""Lhotse's recordings, supervisions and cuts."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.trees import put, put_lines

from models.errors import StemsError
from pipelines.catalog.load import import_catalog, read_songs
from pipelines.catalog.source import Source


def recording(name: str, seconds: float = 60.0, kind: str = "file") -> dict[str, object]:
    return {
        "id": name.partition(".")[0],
        "sources": [{"type": kind, "channels": [0], "source": name}],
        "sampling_rate": 44100,
        "num_samples": int(seconds * 44100),
        "duration": seconds,
    }


def cut(of: dict[str, object], start: float, seconds: float, **more: object) -> dict[str, object]:
    return {"id": f"cut-{start}", "start": start, "duration": seconds, "recording": of, "type": "MonoCut", **more}


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_recordings_with_supervisions(tmp_path: Path, packed: str) -> None:
    put(tmp_path / "a.flac")
    put(tmp_path / "b.flac")
    put_lines(tmp_path / f"my_recordings_all.jsonl{packed}", [recording("a.flac"), recording("b.flac", 20.0)])
    said = [
        {"id": "1", "recording_id": "a", "start": 0, "duration": 5, "text": "an intro"},
        {"id": "2", "recording_id": "a", "start": 0, "duration": 60, "text": "a tight groove"},
        {"id": "3", "recording_id": "b", "start": 0, "duration": 20, "custom": {"caption": "soft", "tags": ["slow"]}},
    ]
    put_lines(tmp_path / f"my_supervisions_all.jsonl{packed}", said)
    a, b = import_catalog(str(tmp_path))
    assert (a.uri, a.caption, a.seconds) == (str(tmp_path / "a.flac"), "a tight groove", 60.0)
    assert (b.caption, b.tags, b.seconds) == ("soft", ("slow",), 20.0)


def test_parts_of_a_recording_are_taken_once_whole_and_said(tmp_path: Path) -> None:
    for name in "abc":
        put(tmp_path / f"{name}.flac")
    a, b, c = (recording(f"{name}.flac") for name in "abc")
    rows = [cut(a, 0, 20), cut(a, 20, 20), cut(b, 0, 60, supervisions=[{"text": "whole"}]), cut(c, 40, 20)]
    source = Source(str(put_lines(tmp_path / "cuts.jsonl", rows)))
    entries = read_songs(source)
    assert [(entry.title, entry.seconds) for entry in entries] == [("a", 60.0), ("b", 60.0), ("c", 60.0)]
    assert entries[1].caption == "whole"
    said = [str(problem) for problem in source.problems.found]
    assert len(said) == 2
    assert "line 1: 'a.flac' is listed in 2 parts; it is read once, as a whole." in said[0]
    assert "line 4: 'c.flac' is listed in 1 part; " in said[1]
    assert not source.problems.any_fatal


def test_what_is_no_file_is_left_out_and_no_command_is_run(tmp_path: Path) -> None:
    put(tmp_path / "a.flac")
    witness = tmp_path / "witness"
    command = recording(f"touch {witness}", kind="command")
    twofold = {
        **recording("b"),
        "sources": [{"type": "file", "source": "l.wav"}, {"type": "file", "source": "r.wav"}],
    }
    mixed = {"id": "m", "type": "MixedCut", "tracks": []}
    path = put_lines(tmp_path / "recordings.jsonl", [recording("a.flac"), command, twofold, mixed])
    source = Source(str(path))
    assert [entry.title for entry in read_songs(source)] == ["a"]
    said = [str(problem) for problem in source.problems.found]
    assert [text.partition(", ")[2][:6] for text in said] == ["line 2", "line 3", "line 4"]
    assert "'command'" in said[0]
    assert not witness.exists()


@pytest.mark.parametrize("row", [{"id": "x"}, {"id": "x", "sources": []}, {"id": "x", "sources": [{"type": "file"}]}])
def test_a_bad_line_of_lhotse_is_named(tmp_path: Path, row: dict[str, object]) -> None:
    path = put_lines(tmp_path / "recordings.jsonl", [recording("a.flac"), row])
    with pytest.raises(StemsError, match="line 2: the line ") as error:
        import_catalog(str(path))
    assert error.value.hint
