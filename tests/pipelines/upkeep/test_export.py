"""`stems table export webdataset`: shards that hold the table's songs, the same bytes each time."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.s3 import Bucket
from helpers.tables import CODECS, shown, song

from models.errors import StemsError
from pipelines.catalog.storage.files import exists, read_bytes, write_bytes
from pipelines.table.schema import TOKENS
from pipelines.table.token_table import TokenTable
from pipelines.upkeep import export as export_module
from pipelines.upkeep.config import ExportConfig
from pipelines.upkeep.export import ExportReport, export_webdataset


def export(table: TokenTable, output: Path, **settings: Any) -> ExportReport:
    return export_webdataset(ExportConfig(table=table.root, output=str(output), **settings))


def songs_in(shard: Path) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Songs of a shard in its order, as WebDataset groups them: neighbours whose names are alike up to a dot."""
    found = []
    with tarfile.open(shard) as tar:
        members = tar.getmembers()
        for codes, columns in zip(members[::2], members[1::2], strict=True):
            song_id = codes.name.removesuffix(".codes.npy")
            assert columns.name == f"{song_id}.json"
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in (codes, columns)} == {
                (0, 0, 0, "")
            }
            streams = np.load(io.BytesIO(tar.extractfile(codes).read()))  # type: ignore[union-attr]
            found.append((json.load(tar.extractfile(columns)), streams))  # type: ignore[arg-type]
    return found


def test_what_is_read_back_is_what_the_table_holds(table: TokenTable, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 16, (4, 80)).astype(np.int16)
    row = song(8, codes=codes, seconds=1.6, tags=("calm", "Klavier é"), caption="a 'song'")
    table.commit_tokens([row, song(9, "sung")])
    export(table, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.json",
        "train-000000.tar",
        "valid-000000.tar",
    ]
    train = songs_in(tmp_path / "out" / "train-000000.tar")
    assert [columns["song_id"] for columns, _ in train] == [song(n).song_id for n in (0, 1, 2, 3, 4, 8)]
    columns, read = train[-1]
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, codes)
    assert set(columns) == set(TOKENS.names) - {"codes"}
    assert columns["tags"] == ["calm", "Klavier é"]
    assert columns["frames"] == 80
    assert columns["stem_loudness"] == [-20.0, -18.0, None]  # JSON has no -inf
    for columns, read in train[:-1]:
        np.testing.assert_array_equal(read, song(int(columns["song_id"][0])).codes)


def test_the_index_says_what_is_there(table: TokenTable, tmp_path: Path) -> None:
    report = export(table, tmp_path / "out")
    index = json.loads((tmp_path / "out" / "index.json").read_text())
    assert index == report.index
    assert (index["version"], index["codecs"], index["layout"]) == (table.version, CODECS, "bass:1,drums:1,other:2")
    assert index["splits"]["train"]["songs"] == 5
    (shard,) = index["splits"]["valid"]["shards"]
    assert shard["bytes"] == (tmp_path / "out" / shard["name"]).stat().st_size
    assert "train" in shown(report)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def big(table: TokenTable) -> None:
    """Six more songs of 0.4 MB."""
    codes = np.zeros((4, 50_000), np.int16)
    table.commit_tokens([song(number, codes=codes, seconds=1000.0) for number in range(8, 14)])


def test_shards_are_cut_where_they_are_full(table: TokenTable, tmp_path: Path) -> None:
    big(table)
    export(table, tmp_path / "out", shard_mb=1)
    shards = sorted((tmp_path / "out").glob("train-*.tar"))
    assert [shard.name for shard in shards] == ["train-000000.tar", "train-000001.tar"]
    ids = [columns["song_id"] for shard in shards for columns, _ in songs_in(shard)]
    assert ids == sorted(ids)
    assert len(ids) == len(set(ids)) == 11
    assert all(2**20 <= shard.stat().st_size < 2**21 for shard in shards[:-1])


def test_the_same_bytes_whatever_order_the_songs_came_in(table: TokenTable, tmp_path: Path) -> None:
    other = TokenTable(str(tmp_path / "other"))
    other.create()
    for number in (5, 3, 1, 0, 2, 4):
        other.commit_tokens([song(number, "valid" if number == 5 else "train")])
    for source, name in ((table, "a"), (other, "b")):
        export(source, tmp_path / name)
    for name in ("train-000000.tar", "valid-000000.tar"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_complete_export_is_left_alone_and_another_version_refused(table: TokenTable, tmp_path: Path) -> None:
    export(table, tmp_path / "out")
    written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert export(table, tmp_path / "out").there
    before = table.version
    table.commit_tokens([song(8)])
    with pytest.raises(StemsError, match=f"holds an export of version {before}"):
        export(table, tmp_path / "out")
    with pytest.raises(StemsError, match="holds an export"):
        export(table, tmp_path / "out", version=before, splits=["train"])
    assert export(table, tmp_path / "out", version=before).there
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == written
    assert not export(table, tmp_path / "out", overwrite=True).there
    assert len(songs_in(tmp_path / "out" / "train-000000.tar")) == 6


def test_a_killed_export_leaves_the_one_before_and_is_made_whole(
    table: TokenTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = table.version
    big(table)
    export(table, tmp_path / "out", shard_mb=1)  # two training shards, of which the next has one
    write, calls = export_module.write_bytes, []

    def killed(uri: str, data: bytes) -> None:
        calls.append(uri)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(uri, data)

    monkeypatch.setattr(export_module, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        export(table, tmp_path / "out", version=small, overwrite=True)
    monkeypatch.undo()
    assert export(table, tmp_path / "out", shard_mb=1).there
    export(table, tmp_path / "out", version=small, overwrite=True)
    export(table, tmp_path / "fresh", version=small)
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("out", "fresh")
    )
    assert ours == theirs


def test_a_table_of_several_sets_is_exported_by_the_one_that_is_named(table: TokenTable, tmp_path: Path) -> None:
    again = "bass=b2,drums=d1,other=o1"
    table.commit_tokens([song(0, codecs=again), song(0, separator="t", codecs=again)])
    with pytest.raises(StemsError, match="3 such sets") as refused:
        export(table, tmp_path / "out")
    assert f"--separator-id t --codecs-id {again}" in refused.value.hint
    with pytest.raises(StemsError, match="2 such sets"):
        export(table, tmp_path / "out", codecs_id=again)
    with pytest.raises(StemsError, match="0 such sets"):
        export(table, tmp_path / "out", codecs_id="bass=none")
    report = export(table, tmp_path / "out", separator_id="t", codecs_id=again)
    assert report.index["splits"]["train"]["songs"] == 1
    assert report.index["splits"]["valid"] == {"songs": 0, "hours": 0.0, "shards": []}
    assert songs_in(tmp_path / "out" / "train-000000.tar")[0][0]["separator"] == "t"


def test_an_empty_table_has_nothing_to_export(tmp_path: Path) -> None:
    table = TokenTable(str(tmp_path / "table"))
    table.create()
    with pytest.raises(StemsError, match="stems prepare"):
        export(table, tmp_path / "out")


def test_shards_of_others_are_not_replaced_on_a_disk_or_in_a_store(
    table: TokenTable, tmp_path: Path, s3: Bucket
) -> None:
    for output in (str(tmp_path / "shards"), f"{s3.uri}/shards"):
        write_bytes(f"{output}/train-000000.tar", b"mine")
        for overwrite in (False, True):
            with pytest.raises(StemsError, match="shards' holds files"):
                export_webdataset(ExportConfig(table=table.root, output=output, overwrite=overwrite))
        assert read_bytes(f"{output}/train-000000.tar") == b"mine"


def test_an_export_to_a_store_that_was_killed_is_made_whole(
    table: TokenTable, s3: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, write = ExportConfig(table=table.root, output=f"{s3.uri}/out"), export_module.write_bytes

    def killed(uri: str, data: bytes) -> None:
        write(uri, data)
        if uri.endswith(".tar"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(export_module, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            export_webdataset(config)
    assert not export_webdataset(config).there
    assert export_webdataset(config).there
    assert not exists(f"{s3.uri}/out/.stems.json")
