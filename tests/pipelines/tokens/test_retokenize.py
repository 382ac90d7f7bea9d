"""New codecs on the kept stems of a table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.prepared import rows, settings

from models.errors import StemsError
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig, RetokenizeConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.retokenize import retokenize


def test_a_new_codec_encodes_its_stem_alone_and_its_tokens_have_the_newest_words(
    tiny_models: Any, root: Path, tmp_path: Path
) -> None:
    codecs = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
    config = codecs / "other" / "config.json"
    config.write_text(config.read_text() + "\n")  # another identity, the same weights
    drums = codecs / "drums"
    shutil.rmtree(drums)
    shutil.copytree(codecs / "bass", drums)  # other weights
    (root / "songs" / "song 1.txt").write_text("a late caption", encoding="utf-8")
    assert prepare(PrepareConfig(**settings(tiny_models, root))).words_updated == 1
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
    assert [row["caption"] for row in rows(root, title="song 1")] == ["a late caption"] * 2
    assert retokenize(RetokenizeConfig(table=str(root / "table"), codecs=str(codecs))).tokenized == 0


@pytest.mark.slow
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


def test_a_table_without_stems_says_how_to_get_them(tiny_models: Any, tmp_path: Path) -> None:
    TokenTable(str(tmp_path / "table")).create()
    with pytest.raises(StemsError, match="keeps no stems") as error:
        retokenize(RetokenizeConfig(table=str(tmp_path / "table"), codecs=tiny_models.codecs))
    assert "--keep-stems" in error.value.hint
