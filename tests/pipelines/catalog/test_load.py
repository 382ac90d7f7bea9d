"""Importing a catalog: the walk, sidecars, manifests, and what bad ones say."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.trees import put, put_lines

from models.errors import StemsError
from pipelines.catalog.config import Format
from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.storage.files import local_path, read_bytes


def names(entries: list[CatalogEntry], root: Path) -> list[str]:
    return [entry.uri.removeprefix(f"{root}/") for entry in entries]


def test_walk_finds_audio_at_any_depth_in_a_stable_order(tmp_path: Path) -> None:
    for name in ("b.WAV", "a.flac", "deep/er/c d é.mp3", "deep/z.ogg", "readme.md", ".hidden.wav", ".x/y.wav"):
        put(tmp_path / name)
    put(tmp_path / "folder.wav" / "inside.ogg")
    put(tmp_path / "empty.wav", b"")
    expected = ["a.flac", "b.WAV", "deep/er/c d é.mp3", "deep/z.ogg", "empty.wav", "folder.wav/inside.ogg"]
    assert names(import_catalog(str(tmp_path)), tmp_path) == expected
    assert import_catalog(str(tmp_path)) == import_catalog(str(tmp_path))


def test_links_loops_and_closed_folders_do_not_stop_the_walk(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    put(root / "a.wav")
    put(elsewhere / "b.wav")
    (root / "loop").symlink_to(root)
    (root / "more").symlink_to(elsewhere)
    (root / "self.wav").symlink_to(root / "self.wav")
    (root / "broken.wav").symlink_to(root / "nowhere")
    entries = import_catalog(str(root))
    assert names(entries, root) == ["a.wav", "broken.wav", "more/b.wav", "self.wav"]
    assert [entry.size for entry in entries] == [5, 0, 5, 0]


def test_names_that_are_not_utf8_can_be_stored_and_read_back(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    Path(os.fsdecode(raw)).write_bytes(b"coffee")
    (entry,) = import_catalog(str(tmp_path))
    assert pa.array([entry.uri, entry.title])[0].as_py().endswith("caf%E9.wav")
    assert read_bytes(entry.uri) == b"coffee"
    assert os.fsencode(local_path(entry.uri)) == raw


def test_fingerprint_follows_the_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a.wav")
    (before,) = import_catalog(str(tmp_path))
    os.utime(path, ns=(1, 1))
    (touched,) = import_catalog(str(tmp_path))
    assert touched.fingerprint != before.fingerprint
    path.rename(tmp_path / "b.wav")
    (moved,) = import_catalog(str(tmp_path))
    assert moved.fingerprint != touched.fingerprint


def test_words_come_from_the_file_beside_each_song(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        put(tmp_path / name)
    put(tmp_path / "a.json", '{"caption": "slow  dub", "tags": ["dub", "calm"], "title": "A Dub"}')
    put(tmp_path / "b.txt", "fast\npunk\n")
    a, b, c = import_catalog(str(tmp_path))
    assert (a.title, a.caption, a.tags) == ("A Dub", "slow dub", ("dub", "calm"))
    assert (b.title, b.caption, b.tags) == ("b", "fast punk", ())
    assert (c.title, c.caption, c.tags) == ("c", "", ())


ROWS = [
    {"file_name": "a.wav", "caption": "a, with a comma", "tags": "calm; piano", "title": "A"},
    {"file_name": "sub/é.wav", "caption": "b", "tags": "", "title": ""},
]


def write_manifest(path: Path) -> Path:
    if path.suffix == ".jsonl":
        return put(path, "\n".join(json.dumps(row) for row in ROWS) + "\n\n")
    if path.suffix == ".csv":
        lines = ['"' + '","'.join(row.values()) + '"' for row in ROWS]
        return put(path, "﻿file_name,caption,tags,title\r\n" + "\r\n".join(lines))
    pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("place", ["in the folder", "elsewhere", "alone"])
def test_songs_and_words_come_from_a_manifest(tmp_path: Path, suffix: str, place: str) -> None:
    root = tmp_path / "songs"
    put(root / "a.wav")
    put(root / "a.txt", "the sidecar, which the manifest goes before")
    put(root / "sub" / "é.wav")
    put(root / "unsaid.wav")
    if place == "elsewhere":
        entries = import_catalog(str(root), str(write_manifest(tmp_path / f"list{suffix}")))
    else:
        manifest = write_manifest(root / f"metadata{suffix}")
        entries = import_catalog(str(manifest if place == "alone" else root))
    expected = ["a.wav", "sub/é.wav"] if place == "alone" else ["a.wav", "sub/é.wav", "unsaid.wav"]
    assert names(entries, root) == expected
    assert (entries[0].title, entries[0].caption, entries[0].tags) == ("A", "a, with a comma", ("calm", "piano"))
    assert (entries[1].title, entries[1].caption, entries[1].tags) == ("é", "b", ())


def test_manifest_names_match_whatever_the_accents_are_made_of(tmp_path: Path) -> None:
    put(tmp_path / unicodedata.normalize("NFD", "café.wav"))
    put(tmp_path / "metadata.jsonl", json.dumps({"path": f"{tmp_path}/café.wav", "text": "said"}))
    (entry,) = import_catalog(str(tmp_path))
    assert entry.caption == "said"


def test_a_file_that_only_the_manifest_knows_is_an_entry(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / "metadata.jsonl", '{"path": "lost.wav", "text": "x"}')
    assert names(import_catalog(str(tmp_path)), tmp_path) == ["a.wav", "lost.wav"]


@pytest.mark.parametrize(
    ("file", "text", "line", "said"),
    [
        ("metadata.jsonl", '{"path": "a.wav"}\n{"path": ', 2, "is not JSON"),
        ("metadata.jsonl", '{"path": "a.wav"}\n\n["b.wav"]', 3, "is not an object"),
        ("metadata.jsonl", '{"caption": "x"}', 1, "names no file"),
        ("metadata.jsonl", '{"path": "a.wav", "text": 3}', 1, "'text' that is not text"),
        ("metadata.jsonl", '{"path": "a.wav", "tags": {"x": 1}}', 1, "'tags'"),
        ("metadata.jsonl", '{"path": "a.wav", "duration": "long"}', 1, "'duration' that is not a length"),
        ("metadata.jsonl", '{"path": "a.wav", "duration": Infinity}', 1, "'duration' that is not a length"),
        ("metadata.jsonl", '{"path": "\\u0000"}', 1, "invalid file name"),
        ("metadata.jsonl", '{"path": "a.wav"}\n{"path": "./a.wav"}', 2, "as line 1 does"),
        ("metadata.csv", "name,caption\na.wav,x", 1, "lacks a column of file names"),
        ("metadata.csv", "path,caption\na.wav,x\nb.wav,x,y", 3, "more fields"),
        ("metadata.csv", 'path,caption\na.wav,"x', 2, "is not CSV"),
        ("metadata.parquet", "not this", 1, "is not Parquet"),
        ("a.json", "[1, 2]", 1, "is not an object"),
        ("a.json", '{\n"caption": }', 2, "is not JSON"),
    ],
)
def test_bad_words_name_file_line_and_mend(tmp_path: Path, file: str, text: str, line: int, said: str) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / file, text)
    with pytest.raises(StemsError) as error:
        import_catalog(str(tmp_path))
    assert f"{tmp_path / file}, line {line}: " in error.value.message
    assert said in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("path", ["nothing", "empty", "nothing.jsonl"])
def test_a_catalog_that_is_not_there_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StemsError, match=path) as error:
        import_catalog(str(tmp_path / path))
    assert error.value.hint


def test_a_catalog_in_an_object_store_is_read_as_one_on_a_disk(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe(
        {"/shelf/a.wav": b"one", "/shelf/sub/b.mp3": b"two", "/shelf/sub/b.txt": b"said", "/shelf/.c.wav": b""}
    )
    try:
        a, b = import_catalog("memory://shelf")
        assert (a.uri, a.size, b.caption) == ("memory:///shelf/a.wav", 3, "said")
        assert read_bytes(b.uri) == b"two"
    finally:
        memory.rm("/shelf", recursive=True)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_manifests_declare_lengths(tmp_path: Path, suffix: str) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / "b.wav")
    rows: list[dict[str, object]] = [
        {"file_name": "a.wav", "duration": 61.5},
        {"file_name": "b.wav", "duration": None},
    ]
    path = tmp_path / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".csv":
        put(path, "file_name,duration\na.wav,61.5\nb.wav,\n")
    else:
        put_lines(path, rows)
    assert [entry.seconds for entry in import_catalog(str(path))] == [61.5, 0.0]


def test_the_first_of_several_bad_lines_says_how_many_more_there_are(tmp_path: Path) -> None:
    manifest = put(tmp_path / "songs.jsonl", '{"path": "a.wav"}\n{\n{\n[]\n')
    with pytest.raises(StemsError, match=r"line 2: .* 2 more") as error:
        import_catalog(str(manifest))
    assert error.value.code == "bad_line"


def test_a_folder_of_tables_says_how_to_go_on(tmp_path: Path) -> None:
    put(tmp_path / "data" / "train-0000.parquet", "anything")
    with pytest.raises(StemsError, match=r"'data/train-0000\.parquet': .* name it as the catalog"):
        import_catalog(str(tmp_path))


@pytest.mark.parametrize("name", ["/etc/passwd", "file:///etc/passwd", "zip://x::/etc/passwd", "../../other/x.wav"])
def test_a_manifest_from_elsewhere_names_no_file_of_this_machine(name: str) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe({"/shelf/list.jsonl": json.dumps({"path": name}).encode()})
    try:
        with pytest.raises(StemsError, match="line 1: the line names") as error:
            import_catalog("memory://shelf/list.jsonl")
        assert error.value.hint
    finally:
        memory.rm("/shelf", recursive=True)


def test_a_manifest_from_elsewhere_keeps_to_the_folder_that_it_describes(tmp_path: Path) -> None:
    import fsspec

    put(tmp_path / "songs" / "a.wav")
    secret = put(tmp_path / "secret.wav")
    memory = fsspec.filesystem("memory")
    rows = [{"path": "a.wav", "caption": "mine"}, {"path": "lost.wav"}]
    memory.pipe({"/shelf/good.jsonl": "\n".join(map(json.dumps, rows)).encode()})
    memory.pipe({"/shelf/bad.jsonl": json.dumps({"path": "../secret.wav"}).encode()})
    try:
        a, lost = import_catalog(str(tmp_path / "songs"), "memory://shelf/good.jsonl")
        assert (a.caption, lost.uri) == ("mine", str(tmp_path / "songs" / "lost.wav"))
        with pytest.raises(StemsError, match="a file of this machine"):
            import_catalog(str(tmp_path / "songs"), "memory://shelf/bad.jsonl")
    finally:
        memory.rm("/shelf", recursive=True)
    # What lies on this machine may name all of it.
    own = put(tmp_path / "songs" / "list.jsonl", json.dumps({"path": "../secret.wav"}))
    assert import_catalog(str(own))[0].uri == str(secret)


@pytest.mark.parametrize(
    ("format", "path"), [("nemo", "."), ("jamendo", "."), ("musdb", "list.jsonl"), ("folder", "list.jsonl")]
)
def test_a_format_that_cannot_be_what_is_there(tmp_path: Path, format: Format, path: str) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / "list.jsonl", '{"path": "a.wav"}')
    with pytest.raises(StemsError, match=f"'{format}'") as error:
        import_catalog(str(tmp_path / path), format=format)
    assert error.value.hint
