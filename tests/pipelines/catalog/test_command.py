"""`stems catalog`: the file it writes, and what its dry run says."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from helpers.lengths import WRONG_LENGTHS
from helpers.s3 import Bucket
from helpers.trees import put, put_lines, put_sound
from rich.console import Console

from models.errors import StemsError
from pipelines.catalog.command import write_catalog
from pipelines.catalog.config import CatalogConfig
from pipelines.catalog.formats.catalog import write_catalog_file
from pipelines.catalog.load import import_catalog
from pipelines.catalog.report import CatalogReport
from pipelines.catalog.schema import CatalogEntry, GivenStem
from pipelines.catalog.storage.files import read_bytes, write_bytes


def shown(report: CatalogReport) -> str:
    text = io.StringIO()
    Console(file=text, width=1000).print(report.summary())
    return " ".join(text.getvalue().split())


def dry(source: Path, **settings: object) -> CatalogReport:
    return write_catalog(CatalogConfig(source=str(source), dry_run=True, **settings))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "songs"
    put_sound(root / "a.wav", 0.5)
    put_sound(root / "b.FLAC", 1.0)
    put(root / "b.txt", "a [bold] groove")
    put(root / "broken.wav")
    put(root / "empty.mp3", b"")
    put(root / "x.wma")
    put_lines(
        root / "metadata.jsonl", [{"path": "a.wav", "tags": ["calm"]}, {"path": "lost.ogg", "duration": 3598.5}]
    )
    return root


def test_a_dry_run_counts_measures_and_says_what_is_wrong(folder: Path) -> None:
    report = dry(folder, output=str(folder.parent / "catalog.parquet"))
    assert (report.songs, report.multitracks, report.captioned, report.tagged) == (5, 0, 1, 1)
    assert report.formats == {".wav": 2, ".flac": 1, ".mp3": 1, ".ogg": 1}
    assert (report.hours, report.unknown_lengths) == (1.0, 2)
    said = {problem.place.removeprefix(f"{folder}/"): str(problem) for problem in report.problems}
    assert set(said) == {"empty.mp3", "x.wma", f"metadata.jsonl, line 2, {folder}/lost.ogg", "broken.wav"}
    assert all(problem.hint and not problem.fatal for problem in report.problems)
    text = shown(report)
    assert "hours │ 1.00" in text
    assert f"{folder}/empty.mp3: the file is empty. Replace it with a complete one." in text
    assert report.exit_code == 0
    assert sorted(path.name for path in folder.parent.iterdir()) == ["songs"]  # and no catalog


def test_a_dry_run_lists_all_bad_lines_where_the_import_stops_at_the_first(tmp_path: Path) -> None:
    manifest = put(tmp_path / "m.jsonl", '{"path": "a.wav"}\n{\n{"caption": "x"}\n{"path": "b.wav", "tags": 3}\n')
    report = dry(manifest)
    fatal = [str(problem) for problem in report.problems if problem.fatal]
    assert [text.partition(": ")[0] for text in fatal] == [f"{manifest}, line {line}" for line in (2, 3, 4)]
    assert report.exit_code == 2
    assert shown(report).count("must be corrected") == 3
    with pytest.raises(StemsError, match="line 2"):
        write_catalog(CatalogConfig(source=str(manifest), output=str(tmp_path / "c.parquet")))
    assert not (tmp_path / "c.parquet").exists()


def test_a_length_that_is_declared_is_not_measured(tmp_path: Path) -> None:
    put_sound(tmp_path / "a.wav", 0.5)
    assert dry(put_lines(tmp_path / "m.jsonl", [{"path": "a.wav", "seconds": 36}])).hours == 0.01


def test_a_dry_run_of_nothing_says_so(tmp_path: Path) -> None:
    report = dry(tmp_path / "nowhere")
    assert (report.songs, report.exit_code) == (0, 2)
    assert "There is no folder" in shown(report)


def test_many_problems_are_cut_short(tmp_path: Path) -> None:
    put_lines(tmp_path / "m.jsonl", [{"path": f"{number}.wav"} for number in range(300)])
    assert "… and 100 more: Restore it" in shown(dry(tmp_path / "m.jsonl"))


def test_a_written_catalog_is_read_back_as_it_was(folder: Path) -> None:
    output = folder.parent / "new" / "catalog.parquet"
    report = write_catalog(CatalogConfig(source=str(folder), output=str(output)))
    assert (report.output, report.songs, report.hours) == (str(output), 5, 1.0)
    found = import_catalog(str(output))
    plain = import_catalog(str(folder))
    assert [entry.fingerprint for entry in found] == [entry.fingerprint for entry in plain]
    assert [entry.seconds for entry in found] == [0.5, 1.0, 0.0, 0.0, 3598.5]  # headers have been measured


def test_every_field_survives(tmp_path: Path) -> None:
    stems = (GivenStem("bass", ("/a/b.wav",)), GivenStem("other", ("/a/c.wav", "file:///a/caf%E9.wav")))
    full = CatalogEntry("/a/é.wav", "f" * 32, "Té", "said", ("x", "y"), 2**40, 0.1 + 0.2, stems)
    entries = [full, CatalogEntry("/b", "0")]
    write_catalog_file(str(tmp_path / "c.parquet"), entries)
    assert import_catalog(str(tmp_path / "c.parquet")) == entries


def test_a_catalog_elsewhere_names_no_files_of_this_machine() -> None:
    import fsspec

    uri, memory = "memory://shelf/c.parquet", fsspec.filesystem("memory")
    song = CatalogEntry("memory:///a", "0", stems=(GivenStem("bass", ("memory:///b",)),))
    write_catalog_file(uri, [song])
    try:
        assert import_catalog(uri) == [song]
        for local in (CatalogEntry("/a", "0"), CatalogEntry("memory:///a", "0", stems=(GivenStem("bass", ("/b",)),))):
            with pytest.raises(StemsError, match="a file of this machine"):
                write_catalog_file(uri, [local])
    finally:
        memory.rm("/shelf", recursive=True)


def test_songs_with_stems_are_counted_and_measured(tmp_path: Path) -> None:
    for stem in ("bass", "drums"):
        put_sound(tmp_path / "song" / f"{stem}.flac", 0.9)
    report = dry(tmp_path)
    assert (report.songs, report.multitracks, report.unknown_lengths) == (1, 1, 0)
    assert report.hours == pytest.approx(0.9 / 3600)
    assert report.formats == {".flac": 1}


def test_there_must_be_something_to_do(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="--dry-run"):
        write_catalog(CatalogConfig(source=str(tmp_path)))


def test_settings_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="ouput"):
        CatalogConfig(source="x", ouput="y")  # type: ignore[call-arg]
    assert json.loads(CatalogConfig(source="x").model_dump_json())["format"] == "auto"


def test_only_a_catalog_of_ours_is_replaced(tmp_path: Path, s3: Bucket) -> None:
    put_sound(tmp_path / "songs" / "a.wav")
    for output in (str(tmp_path / "out.parquet"), f"{s3.uri}/out.parquet"):
        write_bytes(output, b"mine")
        with pytest.raises(StemsError, match=r"out\.parquet") as refused:
            write_catalog(CatalogConfig(source=str(tmp_path / "songs"), output=output))
        assert refused.value.field == "output"
        assert read_bytes(output) == b"mine"
    (tmp_path / "out.parquet").unlink()
    for _ in range(2):
        write_catalog(CatalogConfig(source=str(tmp_path / "songs"), output=str(tmp_path / "out.parquet")))


def test_a_catalog_is_not_written_where_the_next_run_would_take_it_for_a_manifest(tmp_path: Path) -> None:
    put_sound(tmp_path / "songs" / "a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "songs")
    for output in ("songs/metadata.parquet", "link/deep/Metadata.parquet"):
        with pytest.raises(StemsError, match="would be read as a manifest") as refused:
            write_catalog(CatalogConfig(source=str(tmp_path / "songs"), output=str(tmp_path / output)))
        assert refused.value.field == "output"
    write_catalog(CatalogConfig(source=str(tmp_path / "songs"), output=str(tmp_path / "songs" / "catalog.parquet")))
    assert [Path(entry.uri).name for entry in import_catalog(str(tmp_path / "songs"))] == ["a.wav"]


@pytest.mark.parametrize("kind", ["mp3", "ogg", "others", "of phones"])
def test_a_dry_run_finds_nothing_wrong_with_files_that_prepare_reads(kind: str, tmp_path: Path) -> None:
    for case in WRONG_LENGTHS[kind]():
        put(tmp_path / "songs" / case.name, case.data)
    assert [str(problem) for problem in dry(tmp_path / "songs").problems] == []
