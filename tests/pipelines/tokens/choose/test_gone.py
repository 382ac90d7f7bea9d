"""Files that were replaced or deleted after they were tokenized or put in quarantine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import s3fs
from helpers.catalogued import compute_nothing, put_files, put_table
from helpers.s3 import Bucket
from helpers.tables import shown

from cli.reporting import EXIT_CODES
from models.errors import StemsError
from pipelines.catalog.load import import_catalog
from pipelines.table.schema import QuarantineRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.resolve import resolve_prepare
from pipelines.tokens.run.report_builder import ReportBuilder
from pipelines.tokens.run.report_page import html_page
from pipelines.upkeep.config import InfoConfig, VerifyConfig
from pipelines.upkeep.info import info
from pipelines.upkeep.verify import verify


@pytest.fixture
def config(tiny_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrepareConfig:
    """Of a folder of four songs; nothing may be computed."""
    put_files(tmp_path / "songs", a="one", b="two", c="three", d="four")
    compute_nothing(monkeypatch)
    return PrepareConfig(
        catalog=str(tmp_path / "songs"),
        table=str(tmp_path / "table"),
        separator=tiny_models.separator,
        codecs=tiny_models.codecs,
        vocal_threshold=1.0,
    )


def file(config: PrepareConfig, name: str) -> Path:
    return Path(config.catalog) / f"{name}.wav"


def set_aside(config: PrepareConfig, *names: str, reason: str = "unreadable") -> TokenTable:
    table = TokenTable(config.table)
    table.create()
    limits = resolve_prepare(config).identity.limits
    entries = {entry.title: entry for entry in import_catalog(config.catalog)}
    table.commit_quarantine(
        [QuarantineRow(entries[n].uri, entries[n].fingerprint, reason, "m", "", "", "", limits) for n in names]
    )
    return table


def change_files(config: PrepareConfig) -> TokenTable:
    """Delete a, replace b, rename c, save d again; the new songs are in the table, too."""
    put_table(config)
    file(config, "a").unlink()
    file(config, "b").write_text("another song", encoding="utf-8")
    file(config, "c").rename(file(config, "renamed"))
    file(config, "d").unlink()
    file(config, "d").write_text("four", encoding="utf-8")
    return put_table(config)


def test_files_that_are_gone_or_replaced_are_named_and_those_that_moved_are_not(config: PrepareConfig) -> None:
    change_files(config)
    report = prepare(config)
    assert (report.gone, report.gone_count) == ((str(file(config, "a")),), 1)
    assert (report.replaced, report.replaced_count) == ((str(file(config, "b")),), 1)
    said = shown(report)
    for words in ("files gone", str(file(config, "a")), "files replaced", str(file(config, "b"))):
        assert words in said
    assert "renamed" not in said
    assert str(file(config, "a")) in html_page(report)


def test_of_files_that_a_manifest_does_not_list_those_of_other_folders_are_gone_where_they_are_deleted(
    config: PrepareConfig,
) -> None:
    put_table(config)
    root = Path(config.catalog).parent
    for folder in ("others", "deleted"):
        put_files(root / folder, x=folder)
        put_table(config.model_copy(update={"catalog": str(root / folder)}))
    (root / "deleted" / "x.wav").unlink()
    manifest = root / "songs.jsonl"
    lines = [json.dumps({"file_name": f"songs/{name}.wav"}) for name in "abc"]
    manifest.write_text("\n".join(lines), encoding="utf-8")
    report = prepare(config.model_copy(update={"catalog": str(manifest)}))
    assert report.gone == (str(root / "deleted" / "x.wav"), str(file(config, "d")))


def test_a_bucket_is_looked_at_in_the_same_way(config: PrepareConfig, s3: Bucket) -> None:
    store = s3fs.S3FileSystem()
    for name, content in (("a", "one"), ("b", "two"), ("c", "three")):
        store.pipe_file(f"{s3.uri}/songs/{name}.wav", content.encode())
    there = config.model_copy(update={"catalog": f"{s3.uri}/songs/", "table": f"{s3.uri}/table"})
    table = put_table(there)
    store.pipe_file(f"{s3.uri}/songs/bad.wav", b"-")
    set_aside(there, "bad")
    for name in ("a", "bad"):
        store.rm_file(f"{s3.uri}/songs/{name}.wav")
    store.pipe_file(f"{s3.uri}/songs/b.wav", b"another")
    store.pipe_file(f"{s3.uri}/songs/c.txt", b"a late caption")
    put_table(there)
    report = prepare(there)
    assert (report.gone, report.replaced) == ((f"{s3.uri}/songs/a.wav",), (f"{s3.uri}/songs/b.wav",))
    assert (report.words_updated, report.cleared, len(table.quarantine())) == (1, 1, 0)
    assert "a late caption" in table.rows()["caption"].to_pylist()
    lost = info(InfoConfig(table=table.root, sources=True)).sources
    assert lost is not None
    assert (len(lost.gone), len(lost.replaced)) == (1, 1)


def test_many_lost_files_are_counted_and_the_first_named() -> None:
    builder = ReportBuilder()
    builder.lost([f"/{k:03}.wav" for k in range(300)], ["/[bold].wav"])
    report = builder.build({}, songs=1)
    assert (len(report.gone), report.gone_count) == (200, 300)
    said = shown(report)
    assert "/[bold].wav" in said
    assert "/009.wav" in said
    assert "/010.wav" not in said
    assert "and 290 more" in said


def test_rows_whose_file_is_gone_are_listed_on_request_and_break_no_contract(config: PrepareConfig) -> None:
    table = change_files(config)
    assert "sources" not in verify(VerifyConfig(table=table.root)).results
    assert info(InfoConfig(table=table.root)).sources is None
    report = verify(VerifyConfig(table=table.root, sources=True))
    assert report.exit_code == 0
    first = report.results["sources"].first
    assert [line.split(": ")[0] for line in first] == ["gone", "replaced or written again"]
    assert [line.endswith(str(file(config, name))) for line, name in zip(first, "ab", strict=True)] == [True, True]
    counted = info(InfoConfig(table=table.root, sources=True))
    assert counted.sources is not None
    assert (len(counted.sources.gone), len(counted.sources.replaced)) == (1, 1)
    assert str(file(config, "a")) in shown(counted)


def test_the_quarantine_forgets_files_that_were_deleted_or_replaced(config: PrepareConfig) -> None:
    put_table(config)
    put_files(Path(config.catalog), gone="-", fixed="-", still="-")
    table = set_aside(config, "gone", "fixed", "still")
    file(config, "gone").unlink()
    file(config, "fixed").write_text("a whole song", encoding="utf-8")
    put_table(config)
    report = prepare(config)
    assert Path(table.quarantine()["uri"].to_pylist()[0]).stem == "still"
    assert len(table.quarantine()) == 1
    assert report.cleared == 2
    assert prepare(config).cleared == 0


def test_the_quarantine_keeps_files_of_another_manifest_in_the_same_folder(config: PrepareConfig) -> None:
    put_table(config)
    put_files(Path(config.catalog), bad="-", deleted="-")
    table = set_aside(config, "bad", "deleted")
    file(config, "deleted").unlink()
    manifest = Path(config.catalog) / "some.jsonl"
    manifest.write_text(json.dumps({"file_name": "a.wav"}), encoding="utf-8")
    prepare(config.model_copy(update={"catalog": str(manifest)}))
    assert [Path(uri).stem for uri in table.quarantine()["uri"].to_pylist()] == ["bad"]


@pytest.mark.parametrize(
    ("bad", "rate", "said"),
    [
        ("abcd", 0.5, "4 of 4 files are in quarantine or out of reach: more than 50%"),
        ("abc", 0.5, "3 of 4 files are in quarantine or out of reach: more than 50%"),
        ("ab", 0.5, ""),
        ("a", 0.2, "1 of 4 files are in quarantine or out of reach: more than 20%"),
        ("abc", 1.0, ""),
        ("abcd", 1.0, "4 of 4 files are in quarantine or out of reach: not one is a song"),
    ],
)
def test_too_many_bad_files_of_a_few_end_with_an_error_however_often_the_job_runs(
    config: PrepareConfig, bad: str, rate: float, said: str
) -> None:
    put_table(config)
    set_aside(config, *bad)
    strict = config.model_copy(update={"max_error_rate": rate})
    for _ in range(2):
        if not said:
            prepare(strict)
            continue
        with pytest.raises(StemsError, match=said) as error:
            prepare(strict)
        assert EXIT_CODES[error.value.code] == 3


def test_files_that_were_taken_down_or_are_copies_are_no_errors(config: PrepareConfig) -> None:
    put_table(config)
    set_aside(config, "a", "b", reason="duplicate")
    set_aside(config, "c", reason="removed")
    prepare(config.model_copy(update={"max_error_rate": 0.0}))
