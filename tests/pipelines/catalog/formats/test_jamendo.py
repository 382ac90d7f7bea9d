"""MTG-Jamendo's lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.trees import put

from models.errors import StemsError
from pipelines.catalog.load import import_catalog

HEADER = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
ROWS = (
    "track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\tgenre---rock\tmood/theme---happy\tgenre---rock\n"
    "track_0001009\tartist_000087\talbum_000149\t09/1009.mp3\t99.0\tinstrument---voice\n"
)


@pytest.mark.parametrize("audio", ["beside the list", "elsewhere"])
def test_tracks_with_plain_tags(tmp_path: Path, audio: str) -> None:
    root = tmp_path if audio == "beside the list" else tmp_path / "audio"
    put(root / "48" / "948.mp3")
    put(root / "09" / "1009.mp3")
    put(root / "09" / "not listed.mp3")
    tsv = str(put(tmp_path / "autotagging.tsv", HEADER + ROWS))
    first, second = import_catalog(tsv) if audio == "beside the list" else import_catalog(str(root), tsv)
    assert (first.uri, first.size, first.seconds) == (str(root / "48" / "948.mp3"), 5, 212.7)
    assert (first.tags, second.tags) == (("rock", "happy"), ("voice",))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("PATH\tTAGS\n" + ROWS, 1, "not the header"),
        (HEADER + ROWS + "track_1\tartist\n", 4, "2 fields"),
        (HEADER + "t\ta\tb\t1.mp3\tlong\tgenre---rock\n", 2, "'DURATION'"),
    ],
)
def test_a_bad_line_of_jamendo_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(StemsError, match=f"line {line}: .*{said}") as error:
        import_catalog(str(put(tmp_path / "a.tsv", text)))
    assert error.value.hint
