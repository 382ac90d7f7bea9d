"""Results to rows: who is to blame when songs fail, and who is first of equals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.tokens.actor import TOKENIZED, TokenizerActor
from pipelines.tokens.collect import MOST_SUSPECTS, Collector
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.inspect import INSPECTED, entry_to_json
from pipelines.tokens.schema import Identity
from pipelines.tokens.table import TokenTable
from pipelines.tokens.tokenize import TokenizerSettings

IDENTITY = Identity("sep", "bass=1", "score>0.1", frozenset({"sung"}), "5-1200 s")


def result(name: str, song_id: str = "", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(TOKENIZED.names, "")
    values |= {"seconds": 1.0, "rate": 8000, "channels": 1, "loudness": -9.0, "vocal_score": 0.0, "frames": 3}
    values |= {"codes": np.arange(3, dtype=np.int16).tobytes(), "song_id": song_id or f"{name}-id"}
    values["entry"] = entry_to_json(CatalogEntry(f"/{name}.wav", name, name, tags=("calm",)))
    return {**values, **changes}


def failed(name: str) -> dict[str, Any]:
    return result(name, reason="failed:RuntimeError", message="out of luck", codes=b"", frames=0)


@pytest.fixture
def table(tmp_path: Path) -> TokenTable:
    made = TokenTable(str(tmp_path / "table"))
    made.create()
    return made


def collector(table: TokenTable, known: dict[str, str] | None = None, **changes: Any) -> Collector:
    config = PrepareConfig(catalog="", table=table.root, separator="", codecs="", **changes)
    return Collector(table, config, IDENTITY, "bass:1", known or {})


def test_the_first_of_equal_songs_is_kept(table: TokenTable) -> None:
    collected = collector(table, {"old": "/before.wav"})
    for row in (result("a", "same"), result("b", "same"), result("c", "old")):
        collected.take(row)
    collected.take(result("d", "sung", decided_by="score>0.1", vocal_score=0.4))
    collected.take(result("e", "sung", decided_by="score>0.1", vocal_score=0.4))
    collected.finish()
    assert table.rows()["uri"].to_pylist() == ["/a.wav"]
    assert table.dropped()["uri"].to_pylist() == ["/d.wav"]
    said = {row["uri"]: row["message"] for row in table.quarantine().to_pylist()}
    assert {uri: message.split("'")[1] for uri, message in said.items()} == {
        "/b.wav": "/a.wav",
        "/c.wav": "/before.wav",
        "/e.wav": "/d.wav",
    }
    assert (collected.tokenized, collected.vocals, collected.duplicates) == (1, 1, 3)
    assert table.known_sources(IDENTITY) == {"a", "b", "c", "d", "e"}


def test_commits_come_every_few_songs_or_seconds(table: TokenTable) -> None:
    by_count = collector(table, commit_songs=2, commit_seconds=1e9)
    by_count.take(result("a"))
    assert len(table.rows()) == 0
    by_count.take(result("b"))
    assert len(table.rows()) == 2
    collector(table, commit_songs=99, commit_seconds=0).take(result("c"))
    assert len(table.rows()) == 3


def test_failures_are_the_songs_own_once_a_song_went_well(table: TokenTable) -> None:
    collected = collector(table, commit_seconds=0)
    for k in range(MOST_SUSPECTS - 1):
        collected.take(failed(f"bad{k}"))
    assert len(table.quarantine()) == 0
    collected.take(result("good"))
    for k in range(MOST_SUSPECTS):
        collected.take(failed(f"worse{k}"))
    collected.finish()
    assert collected.quarantined == {"failed:RuntimeError": 2 * MOST_SUSPECTS - 1}
    assert len(table.quarantine()) == 2 * MOST_SUSPECTS - 1


def test_models_that_fail_on_every_song_stop_the_job_and_blame_no_song(table: TokenTable) -> None:
    collected = collector(table, commit_seconds=0)
    collected.take(result("sung", decided_by="tag:sung", vocal_score=None))
    for k in range(1, MOST_SUSPECTS):
        collected.take(failed(f"bad{k}"))
    with pytest.raises(StemsError, match="out of luck") as error:
        collected.take(failed("bad"))
    assert error.value.code == "models_fail"
    assert len(table.quarantine()) == 0


def test_the_few_failures_of_a_small_run_are_quarantined(table: TokenTable) -> None:
    collected = collector(table)
    collected.take(failed("bad"))
    collected.finish()
    assert table.quarantine()["message"].to_pylist() == ["out of luck"]


def test_models_that_cannot_be_loaded_blame_no_song(table: TokenTable, tmp_path: Path) -> None:
    (tmp_path / "separator").mkdir()
    (tmp_path / "separator" / "config.json").write_text("{}")
    layout = StemLayout.parse("bass:1")
    settings = TokenizerSettings(
        str(tmp_path / "separator"), "codecs", layout, 0.1, "score>0.1", frozenset(), 60.0, "", "cpu"
    )
    inspected = {**dict.fromkeys(INSPECTED.names), "entry": result("a")["entry"], "song_id": "x", "data": b"x"}
    rows = [{**inspected, "reason": "", "message": "", "seconds": 1.0}, {**inspected, "reason": "empty"}]
    done = TokenizerActor(settings)(pa.Table.from_pylist(rows, schema=INSPECTED)).to_pylist()
    assert [row["reason"] for row in done] == ["models_fail", "empty"]
    with pytest.raises(StemsError, match=str(tmp_path / "separator")):
        collector(table).take(done[0])
    assert len(table.quarantine()) == 0
