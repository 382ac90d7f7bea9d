"""Results to rows: who is to blame when songs fail, and when rows are written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.table.schema import Identity, RemovedRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.table_state import FileFacts
from pipelines.tokens.choose.vocal_rule import VocalRule
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.encode.actor import FETCHED, TokenizerActor, fetch_files
from pipelines.tokens.encode.results import TOKENIZED, Failed, SongResult, Tokenized
from pipelines.tokens.encode.tokenize import TokenizerSettings
from pipelines.tokens.resolve import ResolvedRun
from pipelines.tokens.run.collect import MOST_SUSPECTS, Collector, RunContext
from pipelines.tokens.run.report_builder import ReportBuilder
from pipelines.tokens.run.writer import Writer
from pipelines.tokens.songs.limits import SongLimits
from pipelines.tokens.songs.work import PROBE, Work, work_to_json

IDENTITY = Identity("sep", "bass=1", "5-1200 s")
LAYOUT = StemLayout.parse("bass:1")


def result(name: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(TOKENIZED.names, "")
    values |= {"song_id": name, "vocal_score": 0.0, "frames": 3, "frame_rate": 50.0, "took": "{}"}
    values |= {"codes": np.arange(3, dtype=np.int16).tobytes(), "stem_loudness": [-20.0], "residual_db": -40.0}
    return {**values, **changes}


def failed(name: str) -> dict[str, Any]:
    return result(name, reason="failed:RuntimeError", message="out of luck", codes=b"", frames=0, vocal_score=None)


def work(name: str) -> Work:
    return Work(CatalogEntry(f"/{name}.wav", name, name, tags=("calm",)), name, 1.0, "sep", ("bass",))


@pytest.fixture
def table(tmp_path: Path) -> TokenTable:
    made = TokenTable(str(tmp_path / "table"))
    made.create()
    return made


def collector(table: TokenTable, *names: str, **changes: Any) -> Collector:
    config = PrepareConfig(catalog="", table=table.root, separator="", codecs="", **changes)
    facts = {name: FileFacts(name, name, 1.0, 8000, 1, -9.0, 0.0, 0.0) for name in names}
    resolved = ResolvedRun(config, table.root, "", "", LAYOUT, IDENTITY, 32000, 32)
    context = RunContext(resolved, IDENTITY, facts, dict.fromkeys(names, "train"), {})
    works = {name: work(name) for name in names}
    return Collector(table, context, works, Writer(table, config), ReportBuilder())


def test_a_song_becomes_a_row_and_a_sung_one_another(table: TokenTable) -> None:
    collected = collector(table, "a", "b", "lost")
    collected.take(result("a", vocal_score=0.25))
    collected.take(result("b", decided_by="score", vocal_score=0.75, codes=b"", frames=0))
    collected.finish()
    [row] = table.rows().to_pylist()
    assert (row["uri"], row["codes"], row["frames"], row["frame_rate"]) == ("/a.wav", [[0, 1, 2]], 3, 50.0)
    assert (row["vocal_score"], row["stem_loudness"], row["residual_db"]) == (0.25, [-20.0], -40.0)
    [dropped] = table.dropped().to_pylist()
    assert (dropped["uri"], dropped["vocal_score"], dropped["decided_by"]) == ("/b.wav", 0.75, "score")
    [crashed] = table.quarantine().to_pylist()
    assert (crashed["uri"], crashed["reason"]) == ("/lost.wav", "crashed")
    assert len(table.stems()) == 0


def test_commits_come_every_few_songs_or_seconds(table: TokenTable) -> None:
    by_count = collector(table, "a", "b", commit_songs=2, commit_seconds=1e9)
    by_count.take(result("a"))
    assert len(table.rows()) == 0
    by_count.take(result("b"))
    assert len(table.rows()) == 2
    collector(table, "c", commit_songs=99, commit_seconds=0).take(result("c"))
    assert len(table.rows()) == 3


def test_failures_between_songs_that_went_well_are_the_songs_own(table: TokenTable) -> None:
    bad = [f"bad{k}" for k in range(2 * MOST_SUSPECTS - 2)]
    collected = collector(table, "good", "better", *bad, commit_seconds=0)
    for name in bad[: MOST_SUSPECTS - 1]:
        collected.take(failed(name))
    assert len(table.quarantine()) == 0
    collected.take(result("good"))
    for name in bad[MOST_SUSPECTS - 1 :]:
        collected.take(failed(name))
    collected.take(result("better"))
    collected.finish()
    assert sorted(table.quarantine()["song_id"].to_pylist()) == sorted(bad)


@pytest.mark.parametrize("went_well", [(), ("good",)])
def test_failures_in_a_row_stop_the_job_and_blame_no_song(table: TokenTable, went_well: tuple[str, ...]) -> None:
    bad = [f"bad{k}" for k in range(MOST_SUSPECTS)]
    collected = collector(table, *went_well, *bad, commit_seconds=1e9)
    for name in went_well:
        collected.take(result(name))
    for name in bad[:-1]:
        collected.take(failed(name))
    with pytest.raises(StemsError, match="out of luck") as error:
        collected.take(failed(bad[-1]))
    assert error.value.code == "models_fail"
    collected.rescue()
    assert len(table.quarantine()) == 0
    assert table.rows()["song_id"].to_pylist() == list(went_well)


def test_models_that_fail_on_all_of_a_few_songs_blame_none(table: TokenTable) -> None:
    collected = collector(table, "a", "b")
    collected.take(failed("a"))
    collected.take(failed("b"))
    with pytest.raises(StemsError, match="failed on 2 songs"):
        collected.finish()
    assert len(table.quarantine()) == 0


def test_a_song_that_was_taken_down_meanwhile_is_not_written(table: TokenTable) -> None:
    collected = collector(table, "a", "b")
    collected.take(result("a"))
    collected.take(result("b"))
    table.commit_removed([RemovedRow("a", ("/a.wav",), ("a",), "a", "asked for")])
    collected.finish()
    assert table.rows()["song_id"].to_pylist() == ["b"]


def test_the_one_failure_of_a_small_run_is_quarantined(table: TokenTable) -> None:
    collected = collector(table, "bad")
    collected.take(failed("bad"))
    collected.finish()
    assert table.quarantine()["message"].to_pylist() == ["out of luck"]


def test_a_store_that_does_not_answer_blames_no_song(table: TokenTable) -> None:
    collected = collector(table, "a")
    collected.take(result("a", reason="unreachable", message="503", codes=b"", frames=0))
    collected.finish()
    assert len(table.quarantine()) == 0


@pytest.mark.parametrize("reason", ["changed", "missing", "broken_stems"])
def test_a_song_that_is_not_what_it_was_waits_for_the_next_run(table: TokenTable, reason: str) -> None:
    collected = collector(table, "a")
    assert collected.take(result("a", reason=reason, message="replaced", codes=b"", frames=0))
    collected.finish()
    assert len(table.quarantine()) == 0


def test_stems_that_cannot_be_written_stop_the_job_and_blame_no_song(table: TokenTable) -> None:
    collected = collector(table, "a", "b", commit_seconds=1e9)
    collected.take(result("a"))
    with pytest.raises(StemsError, match="The disk of '/stems' is full") as error:
        collected.take(result("b", reason="storage", message="The disk of '/stems' is full.", codes=b"", frames=0))
    assert (error.value.code, error.value.field) == ("storage", "keep_stems")
    collected.rescue()
    assert table.rows()["song_id"].to_pylist() == ["a"]
    assert len(table.quarantine()) == 0


def test_too_many_bad_files_stop_the_job_after_they_are_written(table: TokenTable) -> None:
    names = [f"s{k}" for k in range(40)]
    collected = collector(table, *names, commit_songs=30, max_error_rate=0.5)
    collected.take(result(names[0]))
    for name in names[1:30]:
        collected.take(result(name, reason="unreadable", codes=b"", frames=0))
    with pytest.raises(StemsError, match="more than 50%") as error:
        collected.take(result(names[30], reason="unreadable", codes=b"", frames=0))
    assert error.value.code == "too_many_errors"
    assert len(table.quarantine()) == 30


def test_models_that_cannot_be_loaded_blame_no_song(table: TokenTable, tmp_path: Path) -> None:
    (tmp_path / "separator").mkdir()
    (tmp_path / "separator" / "config.json").write_text("{}")
    settings = TokenizerSettings(
        str(tmp_path / "separator"), "codecs", LAYOUT, VocalRule(0.1), SongLimits(1.0, 60.0, 1.0), 60.0, "", "cpu", 1
    )
    there = {"line": work_to_json(work("a")), "reason": "", "uris": ["/a.wav"], "blobs": [b"x"]}
    gone = {"line": work_to_json(work("b")), "reason": "missing", "uris": [], "blobs": []}
    done = TokenizerActor(settings)(pa.Table.from_pylist([there, gone], schema=FETCHED)).to_pylist()
    assert [row["reason"] for row in done] == ["models_fail", "missing"]
    with pytest.raises(StemsError, match=str(tmp_path / "separator")):
        collector(table, "a").take(done[0])
    assert len(table.quarantine()) == 0


def test_a_probe_shows_that_models_load_and_work(tiny_models: Any) -> None:
    settings = TokenizerSettings(
        tiny_models.separator,
        tiny_models.codecs,
        LAYOUT,
        VocalRule(0.1),
        SongLimits(1.0, 60.0, 1.0),
        60.0,
        "",
        "cpu",
        1,
    )
    fetched = fetch_files(pa.table({"line": [PROBE]}), allow_hosts=(), max_bytes=None)
    [row] = TokenizerActor(settings)(fetched).to_pylist()
    assert (row["song_id"], row["reason"]) == (PROBE, "")
    [row] = TokenizerActor(replace(settings, codecs="/nowhere"))(fetched).to_pylist()
    assert (row["song_id"], row["reason"]) == (PROBE, "models_fail")


def test_what_stops_the_job_comes_after_the_songs_that_are_done(
    table: TokenTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Tokenizer:
        def process(self, songs: list[Any]) -> list[SongResult]:
            return [Failed("storage", "full"), Tokenized(np.zeros((1, 3), np.int16), 50.0, None)]

    monkeypatch.setattr("pipelines.tokens.encode.actor.load_tokenizer", lambda _: Tokenizer())
    lines = [{"line": work_to_json(work(name)), "reason": "", "uris": [], "blobs": []} for name in "ab"]
    done = TokenizerActor(TokenizerSettings("", "", LAYOUT, VocalRule(1.0), SongLimits(1, 2, 3), 1, "", "cpu", 1))(
        pa.Table.from_pylist(lines, schema=FETCHED)
    )
    assert done["song_id"].to_pylist() == ["b", "a"]
