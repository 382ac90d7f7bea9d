"""Running again: another threshold, another codec, another look at what was set aside, songs that were taken down."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.audio.files import Audio, read_audio, write_audio
from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig, RetokenizeConfig, RetryConfig
from pipelines.tokens.prepare import prepare, retry_quarantined
from pipelines.tokens.retokenize import retokenize
from pipelines.upkeep.config import RemoveConfig, VerifyConfig
from pipelines.upkeep.remove import remove
from pipelines.upkeep.verify import verify

COLUMNS = ["song_id", "title", "codecs", "split", "vocal_score"]


def noise(seed: int, seconds: float = 1.2) -> Audio:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 44100)) / 44100
    tone = 0.1 * seed * np.sin(2 * np.pi * (90 + 60 * seed) * time)
    return Audio((tone + 0.05 * rng.standard_normal((2, len(time)))).astype(np.float32), 44100)


def settings(models: Any, root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "catalog": str(root / "songs"),
        "table": str(root / "table"),
        "separator": models.separator,
        "codecs": models.codecs,
        "vocal_threshold": 1.0,
        "min_seconds": 1.0,
        **changes,
    }


@pytest.fixture(scope="module")
def prepared(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory, ray_local: object) -> Path:
    """Three songs with their stems, one of them in valid, and a broken file."""
    root = tmp_path_factory.mktemp("prepared")
    for k in (1, 2, 3):
        write_audio(root / "songs" / f"song {k}.flac", noise(k))
    (root / "songs" / "broken.wav").write_bytes(b"RIFF")
    report = prepare(PrepareConfig(**settings(tiny_models, root, keep_stems=str(root / "stems"))))
    assert (report.tokenized, report.quarantined) == (3, {"unreadable": 1})
    return root


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A copy of it, at another place."""
    return Path(shutil.copytree(prepared, tmp_path / "copy", copy_function=shutil.copy2))


def rows(root: Path, **kept: Any) -> list[dict[str, Any]]:
    found = TokenTable(str(root / "table")).rows().sort_by([("title", "ascending"), ("codecs", "ascending")])
    return [row for row in found.to_pylist() if all(row[name] == value for name, value in kept.items())]


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


def test_a_new_codec_encodes_its_stem_alone(tiny_models: Any, root: Path, tmp_path: Path) -> None:
    codecs = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
    config = codecs / "other" / "config.json"
    config.write_text(config.read_text() + "\n")  # another identity, the same weights
    drums = codecs / "drums"
    shutil.rmtree(drums)
    shutil.copytree(codecs / "bass", drums)  # other weights
    before = {row["song_id"]: row for row in rows(root)}
    report = retokenize(RetokenizeConfig(table=str(root / "table"), codecs=str(codecs)))
    assert (report.tokenized, report.retokenized) == (3, 3)
    assert [stage.name for stage in report.stages if stage.songs] == ["decode", "encode"]
    again = {row["song_id"]: row for row in rows(root) if row["codecs"] != before[row["song_id"]]["codecs"]}
    assert set(again) == set(before)
    for song, row in again.items():
        old = before[song]
        assert row["codes"][0] == old["codes"][0]
        assert row["codes"][1] != old["codes"][1]
        assert row["codes"][2:] == old["codes"][2:]
        same = set(row) - {"codes", "codecs"}
        assert {name: row[name] for name in same} == {name: old[name] for name in same}
    assert retokenize(RetokenizeConfig(table=str(root / "table"), codecs=str(codecs))).tokenized == 0


def test_stems_that_were_moved_are_found_at_the_place_that_is_named(
    tiny_models: Any, root: Path, tmp_path: Path
) -> None:
    codecs = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
    shutil.rmtree(codecs / "drums")
    shutil.copytree(codecs / "bass", codecs / "drums")
    table = TokenTable(str(root / "table"))
    lost = {
        (row["song_id"], row["separator"]): f"/nowhere/{Path(row['folder']).name}"
        for row in table.stems().to_pylist()
    }
    table.revise_stems(lost)
    config = RetokenizeConfig(table=table.root, codecs=str(codecs))
    with pytest.raises(StemsError, match="3 of 3 files are in quarantine") as error:
        retokenize(config)
    assert error.value.code == "too_many_errors"
    with pytest.raises(StemsError, match="None of the 3 kept stems lies in '/elsewhere'") as error:
        retokenize(config.model_copy(update={"stems": "/elsewhere"}))
    assert error.value.field == "stems"
    assert retokenize(config.model_copy(update={"stems": str(root / "stems")})).retokenized == 3
    assert {Path(folder).parent for folder in table.stems()["folder"].to_pylist()} == {root / "stems"}
    # What is said of the songs that failed is over; the broken file stays.
    assert table.quarantine()["reason"].to_pylist() == ["unreadable"]


def test_new_tokens_of_a_song_take_the_words_of_those_that_it_has(
    tiny_models: Any, root: Path, tmp_path: Path
) -> None:
    codecs = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
    config = codecs / "other" / "config.json"
    config.write_text(config.read_text() + "\n")
    (root / "songs" / "song 1.txt").write_text("a late caption", encoding="utf-8")
    assert prepare(PrepareConfig(**settings(tiny_models, root))).words_updated == 1
    retokenize(RetokenizeConfig(table=str(root / "table"), codecs=str(codecs)))
    assert [row["caption"] for row in rows(root, title="song 1")] == ["a late caption"] * 2


def test_a_table_without_stems_says_how_to_get_them(tiny_models: Any, tmp_path: Path) -> None:
    TokenTable(str(tmp_path / "table")).create()
    with pytest.raises(StemsError, match="keeps no stems") as error:
        retokenize(RetokenizeConfig(table=str(tmp_path / "table"), codecs=tiny_models.codecs))
    assert "--keep-stems" in error.value.hint


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


def test_a_dropped_song_is_taken_back_by_its_stored_score(
    tiny_models: Any, tmp_path: Path, ray_local: object
) -> None:
    write_audio(tmp_path / "songs" / "song.flac", noise(1))
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
