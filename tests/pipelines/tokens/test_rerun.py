"""Running again: another threshold, another codec, another look at what was set aside, songs that were taken down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.prepared import rows, settings, tone

from models.audio.files import read_audio, write_audio
from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig, RetryConfig
from pipelines.tokens.prepare import prepare, retry_quarantined
from pipelines.upkeep.config import RemoveConfig, VerifyConfig
from pipelines.upkeep.remove import remove
from pipelines.upkeep.verify import verify


def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.tokens.run.run.connect", lambda: pytest.fail("something was computed"))


def test_another_threshold_leaves_songs_out_and_takes_them_back_without_computing(
    tiny_models: Any, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(prepared)
    scores = sorted(row["vocal_score"] for row in before)
    assert scores[0] < scores[2]
    no_ray(monkeypatch)
    prepare(PrepareConfig(**settings(tiny_models, prepared, vocal_threshold=(scores[0] + scores[2]) / 2)))
    sung = {row["title"] for row in before if row["vocal_score"] > (scores[0] + scores[2]) / 2}
    assert {row["title"] for row in rows(prepared, split="sung")} == sung
    prepare(PrepareConfig(**settings(tiny_models, prepared)))
    assert rows(prepared) == before


def test_what_was_quarantined_is_looked_at_again_when_asked(tiny_models: Any, root: Path) -> None:
    broken = root / "songs" / "broken.wav"
    moment = broken.stat().st_mtime_ns
    table = TokenTable(str(root / "table"))
    # The copy's songs are at another place: they are the same songs, and the broken file is another file.
    moved = prepare(PrepareConfig(**settings(tiny_models, root)))
    assert (moved.already_there, moved.tokenized, moved.quarantined) == (3, 0, {"unreadable": 1})
    with pytest.raises(StemsError, match="no folder"):
        retry_quarantined(RetryConfig(**settings(tiny_models, root, catalog="nowhere")))
    retried = retry_quarantined(RetryConfig(**settings(tiny_models, root), reasons=["unreadable"]))
    assert retried.quarantined == {"unreadable": 1}
    assert table.quarantine()["reason"].to_pylist() == ["unreadable"] * 2
    assert broken.stat().st_mtime_ns == moment


def test_a_song_that_was_taken_down_never_returns(tiny_models: Any, root: Path) -> None:
    table = TokenTable(str(root / "table"))
    [gone] = rows(root, title="song 2")
    remove(RemoveConfig(table=table.root, songs=["song 2"], reason="asked for"))
    write_audio(root / "songs" / "under another name.wav", read_audio(root / "songs" / "song 2.flac"))
    report = prepare(PrepareConfig(**settings(tiny_models, root)))
    assert report.tokenized == 0
    assert gone["song_id"] not in table.rows()["song_id"].to_pylist()
    assert gone["song_id"] not in table.stems()["song_id"].to_pylist()
    assert verify(VerifyConfig(table=table.root)).broken == ()


@pytest.mark.slow
def test_a_dropped_song_is_taken_back_by_its_stored_score(
    tiny_models: Any, tmp_path: Path, ray_local: object
) -> None:
    write_audio(tmp_path / "songs" / "song.flac", tone(1))
    table = TokenTable(str(tmp_path / "table"))
    dropping = settings(tiny_models, tmp_path, vocal_threshold=1e-6)
    assert prepare(PrepareConfig(**dropping)).vocals == 1
    [dropped] = table.dropped().to_pylist()
    assert dropped["decided_by"] == "score"
    report = prepare(PrepareConfig(**settings(tiny_models, tmp_path)))
    assert report.tokenized == 1
    assert len(table.dropped()) == 0
    [row] = table.rows().to_pylist()
    assert row["vocal_score"] == dropped["vocal_score"]
    assert prepare(PrepareConfig(**dropping)).tokenized == 0
    assert table.rows()["split"].to_pylist() == ["sung"]
