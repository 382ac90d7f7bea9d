"""A run does not read its own output: outputs in the catalog's folder are refused before the work."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tables import keep_stems, song
from helpers.trees import put, put_lines, put_sound

import cli
from models.errors import StemsError
from pipelines.catalog.load import import_catalog
from pipelines.tokens.config import PlanConfig, PrepareConfig
from pipelines.tokens.estimate import estimate
from pipelines.tokens.paths import check_apart, check_no_own_stems, check_outputs


def config(catalog: Path | str, **outputs: Path | str) -> PrepareConfig:
    values = {"table": "/elsewhere/table", **{name: str(value) for name, value in outputs.items()}}
    return PrepareConfig(catalog=str(catalog), separator="s", codecs="c", **values)


@pytest.mark.parametrize("field", ["table", "report", "keep_stems"])
@pytest.mark.parametrize(
    "spelled", ["songs", "songs/", "songs/deep/out", "songs/../songs/x", "link", "link/x", "file"]
)
def test_an_output_in_the_catalogs_folder_is_refused_and_named(tmp_path: Path, field: str, spelled: str) -> None:
    put_sound(tmp_path / "songs" / "a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "songs")
    folder = f"file://{tmp_path}/songs/x" if spelled == "file" else f"{tmp_path}/{spelled}"
    with pytest.raises(StemsError, match=r"lies in the catalog's folder") as refused:
        check_outputs(config(tmp_path / "songs", **{field: folder}))
    assert refused.value.field == field
    assert f"--{field.replace('_', '-')}" in refused.value.hint
    with pytest.raises(StemsError, match=r"lies in the catalog's folder"):
        check_apart(config(tmp_path / "link" / ".", **{field: folder}))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.wav", "link", "songs"]


@pytest.mark.parametrize("output", ["s3://b/songs", "s3://b/songs/", "s3a://b/songs/stems", "s3://b//songs/x"])
def test_an_output_in_the_catalogs_part_of_a_store_is_refused(output: str) -> None:
    with pytest.raises(StemsError, match="lies in the catalog's folder"):
        check_apart(config("s3://b/songs/", keep_stems=output))


def test_outputs_beside_the_songs_are_taken(tmp_path: Path) -> None:
    put_sound(tmp_path / "songs" / "a.wav")
    check_apart(config(tmp_path / "songs", table=tmp_path / "songs table", keep_stems=tmp_path / "stems"))
    check_apart(config(tmp_path / "songs", report=tmp_path))
    check_apart(config("s3://b/songs", table="s3://b/songs2", keep_stems="s3://other/songs"))
    names = put_lines(tmp_path / "songs" / "list.jsonl", [{"path": "a.wav"}])
    check_apart(config(names, table=tmp_path / "songs" / "table"))  # a manifest names its files


def test_the_command_ends_before_any_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_sound(tmp_path / "songs" / "a.wav")
    catalog, table = str(tmp_path / "songs"), str(tmp_path / "table")
    stems = str(tmp_path / "songs" / "stems")
    for command in (["prepare"], ["prepare", "plan"]):
        words = ["--catalog", catalog, "--table", table, "--separator", "s", "--codecs", "c", "--keep_stems", stems]
        assert cli.main([*command, *words]) == 2
        said = capsys.readouterr().err
        assert stems in said
        assert "--keep-stems" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["songs"]


def test_stems_that_this_table_keeps_are_no_songs(tmp_path: Path) -> None:
    kept = keep_stems(tmp_path / "songs" / "stems", song(1))
    put_sound(tmp_path / "songs" / "a.wav")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "link").symlink_to(tmp_path / "songs" / "stems")
    for catalog in ("songs", "songs/stems", "more"):
        entries = import_catalog(str(tmp_path / catalog), format="folder")
        with pytest.raises(StemsError, match=r"stems that this table keeps \(3 of them\)") as refused:
            check_no_own_stems(entries, [kept.folder])
        assert refused.value.field == "catalog"
    multitracks = import_catalog(str(tmp_path / "songs" / "stems"))
    with pytest.raises(StemsError, match=r"\(1 of them\)"):
        check_no_own_stems(multitracks, [kept.folder])
    check_no_own_stems(import_catalog(str(tmp_path / "songs")), ["/other/stems/a-folder"])


def test_a_plan_says_it_too(tmp_path: Path) -> None:
    put(tmp_path / "songs" / "a.wav")
    values = config(tmp_path / "songs", keep_stems=tmp_path / "songs" / "stems").model_dump()
    with pytest.raises(StemsError, match="lies in the catalog's folder"):
        estimate(PlanConfig(**values))
