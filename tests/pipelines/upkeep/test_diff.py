"""`stems table diff`: what two tables, or two versions, do not share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tables import CODECS, keyed, shown, song, sound_table

from models.errors import StemsError
from pipelines.table.schema import tokens_table
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import DiffConfig
from pipelines.upkeep.diff import StreamDiff, diff


def test_a_table_is_like_itself_in_whatever_files_it_lies(table: TokenTable, tmp_path: Path) -> None:
    other = TokenTable(str(tmp_path / "other"))
    other.create()
    for number in (5, 3, 1, 0, 2, 4):
        other.commit_tokens([song(number, "valid" if number == 5 else "train")])
    found = diff(DiffConfig(a=table.root, b=other.root))
    assert found.same == 6
    assert found.makers == {("s", CODECS): (6, 6)}
    assert not any((found.only_a, found.only_b, found.other_codes, found.streams, found.other_columns))


def test_a_version_lacks_what_came_later(table: TokenTable) -> None:
    before = table.version
    table.commit_tokens([song(8), song(0, codecs="bass=x,drums=y,other=z")])
    found = diff(DiffConfig(a=f"{table.root}@{before}", b=table.root))
    assert found.only_a == []
    assert found.only_b == [(song(0).song_id, "s", "bass=x,drums=y,other=z"), (song(8).song_id, "s", CODECS)]
    assert found.makers == {("s", CODECS): (6, 7), ("s", "bass=x,drums=y,other=z"): (0, 1)}
    assert found.same == 6
    assert len(diff(DiffConfig(a=table.root, b=f"{table.root}@{before}")).only_a) == 2


def replaced(root: Path, number: int, **changes: Any) -> TokenTable:
    """The sound table with one song changed."""
    table = sound_table(root)
    keyed(table, "tokens").replace(tokens_table([song(number, **changes)]), by="song_id")
    return table


def test_codes_are_compared_stream_by_stream(table: TokenTable, tmp_path: Path) -> None:
    codes = song(2).codes.copy()
    codes[1, :10] += 1
    codes[3, 0] += 1
    found = diff(DiffConfig(a=table.root, b=replaced(tmp_path / "b", 2, codes=codes).root))
    assert found.other_codes == [(song(2).song_id, "s", CODECS)]
    assert found.same == 5
    assert found.streams == {
        "bass": StreamDiff(0, 0, 50),
        "drums": StreamDiff(1, 10, 50),
        "other-1": StreamDiff(0, 0, 50),
        "other-2": StreamDiff(1, 1, 50),
    }
    text = shown(found)
    assert "20.00%" in text
    assert song(2).song_id in text


def test_codes_of_another_shape_differ_where_one_side_has_none(table: TokenTable, tmp_path: Path) -> None:
    codes = np.concatenate([song(2).codes, song(2).codes[:, :2]], axis=1)[:3]
    other = replaced(tmp_path / "b", 2, codes=codes, layout="bass:1,drums:1,other:1")
    found = diff(DiffConfig(a=table.root, b=other.root))
    assert found.streams == {
        "bass": StreamDiff(1, 2, 52),
        "drums": StreamDiff(1, 2, 52),
        "other": StreamDiff(1, 2, 52),
        "stream 4": StreamDiff(1, 50, 50),
    }
    assert found.other_columns == {"frames": 1, "layout": 1}


def test_other_columns_are_counted(table: TokenTable, tmp_path: Path) -> None:
    other = replaced(tmp_path / "b", 2, caption="anew", tags=("calm",), loudness=float("nan"))
    found = diff(DiffConfig(a=table.root, b=other.root))
    assert found.other_columns == {"caption": 1, "tags": 1, "loudness": 1}
    assert (found.same, found.other_codes) == (5, [])
    assert diff(DiffConfig(a=other.root, b=other.root)).same == 6  # no number is like no number


def test_no_such_table_or_version(table: TokenTable) -> None:
    with pytest.raises(StemsError, match="no token table"):
        diff(DiffConfig(a=table.root, b=f"{table.root}-none"))
    with pytest.raises(StemsError):
        diff(DiffConfig(a=table.root, b=f"{table.root}@99"))
