"""The token table: what is written is read, once, at any version, whoever else writes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from helpers.processes import PROCESSES
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import StemsError
from models.stems import Stem, StemLayout
from pipelines.table.entropy import unigram_cross_entropy, unigram_entropy
from pipelines.table.schema import (
    DroppedRow,
    QuarantineRow,
    TokenRow,
    codes_from_arrow,
    codes_to_arrow,
    tokens_table,
)
from pipelines.table.token_table import TokenTable

MODELS = {"separator": "sep", "codecs": "bass=1,drums=2"}


def token_row(song_id: str, codes: np.ndarray | None = None, **changes: Any) -> TokenRow:
    values: dict[str, Any] = {
        "song_id": song_id,
        "uri": f"/music/{song_id} é.wav",
        "fingerprint": f"print-{song_id}",
        "title": "Título",
        "caption": "a song",
        "tags": ("calm", "piano"),
        "seconds": 12.5,
        "source_rate": 44100,
        "source_channels": 2,
        "codes": np.arange(12, dtype=np.int16).reshape(2, 6) if codes is None else codes,
        "layout": "bass:1,drums:1",
        "frame_rate": 50.0,
        "cardinality": 2048,
        "loudness": -14.25,
        "clipped": 0.0,
        "silence": 0.125,
        "vocal_score": 0.03125,
        "stem_loudness": (-20.5, float("-inf")),
        "residual_db": -38.5,
        "split": "train",
        **MODELS,
    }
    return TokenRow(**{**values, **changes})


def songs(table: TokenTable, version: int | None = None) -> list[str]:
    return sorted(table.rows(version=version, columns=["song_id"])["song_id"].to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> TokenTable:
    made = TokenTable(str(tmp_path / "table"))
    made.create()
    return made


layouts = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(
    lambda counts: StemLayout(tuple(Stem(f"stem{k}", n) for k, n in enumerate(counts)))
)


@settings(max_examples=12, deadline=None)
@given(data=st.data(), layout=layouts, lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3))
def test_tokens_written_are_tokens_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, layout: StemLayout, lengths: list[int]
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    codes = {f"song{k}": rng.integers(0, 2048, (layout.streams, n), dtype=np.int16) for k, n in enumerate(lengths)}
    table = TokenTable(str(tmp_path_factory.mktemp("property")))
    table.create()
    table.commit_tokens([token_row(name, song, layout=str(layout)) for name, song in codes.items()])
    rows = table.rows()
    for k, name in enumerate(rows["song_id"].to_pylist()):
        read = codes_from_arrow(rows["codes"][k])
        assert read.dtype == np.int16
        np.testing.assert_array_equal(read, codes[name])
        assert rows["frames"][k].as_py() == codes[name].shape[1]


@given(shapes=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 40)), max_size=5), first=st.integers(0, 4))
def test_codes_survive_arrow_and_slices_of_it(shapes: list[tuple[int, int]], first: int) -> None:
    rng = np.random.default_rng(0)
    songs = [rng.integers(0, 2048, shape, dtype=np.int16) for shape in shapes]
    column = codes_to_arrow(songs)
    assert column.to_pylist() == [song.tolist() for song in songs]
    for read, written in zip(column[first:], songs[first:], strict=True):
        np.testing.assert_array_equal(codes_from_arrow(read), written)


def test_codes_of_another_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        codes_to_arrow([np.zeros((2, 3), np.int64)])


def test_every_column_comes_back(table: TokenTable) -> None:
    row = token_row("a")
    table.commit_tokens([row])
    (read,) = table.rows().to_pylist()
    assert read.pop("codes") == row.codes.tolist()
    assert read.pop("frames") == 6
    assert read.pop("tags") == ["calm", "piano"]
    assert read.pop("stem_loudness") == [-20.5, float("-inf")]
    assert read == {name: getattr(row, name) for name in read}


def test_a_song_goes_in_once(table: TokenTable) -> None:
    assert table.commit_tokens([token_row("a"), token_row("b"), token_row("a", title="again")]) == 2
    before = table.versions()
    assert TokenTable(table.root).commit_tokens([token_row("a", title="later")]) == 0
    assert table.versions() == before
    assert table.rows()["title"].to_pylist() == ["Título", "Título"]
    assert table.commit_tokens([token_row("a", separator="other"), token_row("c")]) == 2
    assert songs(table) == ["a", "a", "b", "c"]


def test_versions_and_splits(table: TokenTable) -> None:
    table.commit_tokens([token_row("a"), token_row("b", split="valid")])
    pinned = table.version
    table.commit_tokens([token_row("c")])
    assert songs(table, pinned) == ["a", "b"]
    assert table.rows("valid")["song_id"].to_pylist() == ["b"]
    assert sorted(table.rows("train")["song_id"].to_pylist()) == ["a", "c"]
    assert table.rows("train", pinned)["song_id"].to_pylist() == ["a"]
    with pytest.raises(StemsError, match="version 99"):
        table.rows(version=99)


def _commit_all(root: str, order: list[int]) -> int:
    table = TokenTable(root)
    return sum(table.commit_tokens([token_row(f"s{k}"), token_row(f"s{k + 1}")]) for k in order)


def test_jobs_at_the_same_time_lose_nothing_and_repeat_nothing(table: TokenTable) -> None:
    orders = [list(range(6)), list(range(6)), list(range(5, -1, -1))]
    with PROCESSES.Pool(3) as pool:
        written = pool.starmap(_commit_all, [(table.root, order) for order in orders])
    assert songs(table) == [f"s{k}" for k in range(7)]
    assert sum(written) == 7


def test_another_threshold_changes_the_split_in_rows_by_that_separator_alone(table: TokenTable) -> None:
    table.commit_tokens([token_row("a"), token_row("b"), token_row("a", separator="given")])
    table.revise_songs({}, {("a", "sep"): "sung"})
    found = {(row["song_id"], row["separator"]): row for row in table.rows().to_pylist()}
    assert {key: row["split"] for key, row in found.items()} == {
        ("a", "sep"): "sung",
        ("a", "given"): "train",
        ("b", "sep"): "train",
    }
    assert found["a", "sep"]["codes"] == token_row("a").codes.tolist()


def test_files_leave_the_quarantine_and_songs_the_dropped_ones(table: TokenTable) -> None:
    table.commit_quarantine([QuarantineRow(n, n, "empty", "m", "", "", "", "5-9 s") for n in "abc"])
    assert table.pardon({"a", "b", "x"}) == 2
    assert table.quarantine()["uri"].to_pylist() == ["c"]
    table.commit_dropped([DroppedRow(n, n, n, "t", ("x",), 9.0, s, 0.5, "score") for n in "ab" for s in "st"])
    table.readmit({("b", "s"), ("c", "s")})
    left = {(row["uri"], row["separator"]) for row in table.dropped().to_pylist()}
    assert left == {("a", "s"), ("a", "t"), ("b", "t")}


def test_no_table_or_one_of_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StemsError, match="no token table at") as error:
        TokenTable(str(tmp_path / "none")).rows()
    assert "stems prepare" in error.value.hint
    monkeypatch.setattr("pipelines.table.token_table.SCHEMA_VERSION", 99)
    TokenTable(str(tmp_path / "later")).create()
    monkeypatch.undo()
    with pytest.raises(StemsError, match="schema version 99"):
        TokenTable(str(tmp_path / "later")).rows()


def test_unigram_entropy_of_known_codes() -> None:
    layout = StemLayout((Stem("bass", 1), Stem("other", 2)))
    codes = np.array([[0, 1, 2, 3], [5, 5, 5, 5], [0, 0, 0, 7]], np.int16)
    rows = tokens_table([token_row("a", codes), token_row("b", codes, split="valid")])
    entropy = unigram_entropy(rows, layout, "train")
    assert list(entropy) == ["bass", "other-1", "other-2"]
    assert entropy["bass"] == pytest.approx(math.log(4))
    assert entropy["other-1"] == 0
    assert entropy["other-2"] == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    cross = unigram_cross_entropy(rows, layout, 8)
    # 4 codes seen and one added to each of 8: 12 in all.
    assert cross["bass"] == pytest.approx(math.log(12 / 2))
    assert cross["other-1"] == pytest.approx(math.log(12 / 5))
    assert cross["other-2"] == pytest.approx(0.75 * math.log(12 / 4) + 0.25 * math.log(12 / 2))


def test_unigram_entropy_refuses_what_does_not_fit() -> None:
    layout = StemLayout((Stem("bass", 1), Stem("drums", 1)))
    rows = tokens_table([token_row("a")])
    with pytest.raises(StemsError, match="no songs in valid"):
        unigram_entropy(rows, layout, "valid")
    with pytest.raises(StemsError, match="2 streams"):
        unigram_entropy(rows, StemLayout((Stem("mix", 4),)))
    both = pa.concat_tables([rows, tokens_table([token_row("b", split="valid")])])
    with pytest.raises(StemsError, match="codebook has 4"):
        unigram_cross_entropy(both, layout, 4)
