"""Files on a disk and in an object store: read, described, written and removed; and stores that fail."""

from __future__ import annotations

import json
import pickle
import socket
from pathlib import Path
from typing import Any

import pytest
from helpers.s3 import Bucket, Faults, forget_clients, s3, s3_server  # noqa: F401 - fixtures
from helpers.trees import put

from models.errors import StemsError
from pipelines.catalog.command import write_catalog
from pipelines.catalog.config import CatalogConfig
from pipelines.catalog.load import import_catalog
from pipelines.catalog.storage import stores
from pipelines.catalog.storage.files import (
    Unreachable,
    describe,
    describe_all,
    exists,
    list_folder,
    read_bytes,
    remove_tree,
    write_bytes,
)


def test_a_local_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.bin"
    write_bytes(str(path), b"first")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_bytes(str(path), b"second")
    assert [file.name for file in path.parent.iterdir()] == ["a.bin"]
    assert read_bytes(str(path)) == b"first"


def test_local_files_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "kept" / "a")
    put(tmp_path / "gone" / "deep" / "b")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    for name in ("gone", "link", "never"):
        remove_tree(str(tmp_path / name))
        assert not exists(str(tmp_path / name))
    assert exists(str(tmp_path / "kept" / "a"))


def test_larger_files_than_allowed_are_refused(tmp_path: Path) -> None:
    path = str(put(tmp_path / "a", b"12345"))
    assert read_bytes(path, max_bytes=5) == b"12345"
    with pytest.raises(StemsError) as error:
        read_bytes(path, max_bytes=4)
    assert error.value.code == "too_large"


def test_unreachable_survives_the_road_between_processes() -> None:
    error = pickle.loads(pickle.dumps(Unreachable("s3://a/b", "why")))
    assert isinstance(error, Unreachable)
    assert (error.code, error.message) == ("unreachable", "'s3://a/b' cannot be reached (why).")


@pytest.mark.parametrize("uri", ["zip://x::/etc/passwd", "file2://x", "ssh://host/x", "simplecache::s3://a/b"])
def test_other_kinds_of_address_are_not_opened(uri: str) -> None:
    with pytest.raises(StemsError) as error:
        read_bytes(uri)
    assert error.value.code == "address"


ODD = "odd [1] :: ? é#.wav"


def test_an_object_store(s3: Bucket) -> None:  # noqa: F811
    folder = f"{s3.uri}/songs"
    for name in ("a.wav", ODD, ".hidden.wav", "sub/b.wav"):
        write_bytes(f"{folder}/{name}", name.encode())
    write_bytes(f"{s3.uri}/songs too/c.wav", b"c")
    assert [file.name for file in list_folder(folder)] == ["a.wav", ODD, "sub/b.wav"]
    entries = import_catalog(folder)
    assert [read_bytes(entry.uri) for entry in entries] == [b"a.wav", ODD.encode(), b"sub/b.wav"]
    before = describe(entries[0].uri)
    assert (before.size, before.stamp) == (5, next(file.stamp for file in list_folder(folder)))
    write_bytes(entries[0].uri, b"other")
    assert describe(entries[0].uri).stamp != before.stamp
    assert import_catalog(folder)[0].fingerprint != entries[0].fingerprint
    with pytest.raises(FileNotFoundError):
        read_bytes(f"{folder}/lost.wav")
    with pytest.raises(StemsError) as error:
        read_bytes(entries[0].uri, max_bytes=4)
    assert error.value.code == "too_large"
    assert exists(folder)
    remove_tree(folder)
    assert not exists(folder)
    assert exists(f"{s3.uri}/songs too/c.wav")
    remove_tree(folder)


def test_a_manifest_and_a_catalog_in_an_object_store(s3: Bucket) -> None:  # noqa: F811
    for name in ("a.wav", "b.wav"):
        write_bytes(f"{s3.uri}/audio/{name}", b"sound")
    rows = [{"file_name": "../audio/a.wav", "duration": 3}, {"file_name": f"{s3.uri}/audio/b.wav"}]
    write_bytes(f"{s3.uri}/lists/m.jsonl", "\n".join(map(json.dumps, rows)).encode())
    entries = import_catalog(f"{s3.uri}/lists/m.jsonl")
    assert [(entry.uri, entry.size) for entry in entries] == [(f"{s3.uri}/audio/{name}.wav", 5) for name in "ab"]
    output = f"{s3.uri}/catalog.parquet"
    report = write_catalog(CatalogConfig(source=f"{s3.uri}/lists/m.jsonl", output=output))
    assert (report.songs, report.unknown_lengths) == (2, 1)
    assert import_catalog(output) == entries
    write_bytes(f"{s3.uri}/lists/out.jsonl", json.dumps({"file_name": "../../other/a.wav"}).encode())
    with pytest.raises(StemsError, match="leads out of its bucket"):
        import_catalog(f"{s3.uri}/lists/out.jsonl")


def test_many_files_of_a_folder_are_described_by_its_listing(
    s3: Bucket,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uris = [f"{s3.uri}/many/{number}.wav" for number in range(60)]
    for uri in uris[:-1]:
        write_bytes(uri, b"sound")
    few = [f"{s3.uri}/few/a.wav", f"{s3.uri}/few/lost.wav"]
    write_bytes(few[0], b"more")
    asked: list[str] = []
    info = stores.Store.info

    def counted(store: stores.Store) -> dict[str, Any]:
        asked.append(store.uri)
        return info(store)

    monkeypatch.setattr(stores.Store, "info", counted)
    found = describe_all([*uris, *few])
    assert sorted(asked) == few
    assert [file.uri for file in found] == [*uris, *few]
    assert [file.size for file in found] == [5] * 59 + [0, 4, 0]
    assert [file.stamp == "missing" for file in found] == [False] * 59 + [True, False, True]
    assert found[0] == describe(uris[0])


@pytest.mark.parametrize("fault", ["errors", "slow", "cut"])
def test_a_store_that_fails_now_and_then_is_waited_for(s3: Bucket, fault: str) -> None:  # noqa: F811
    names = [f"{number}.wav" for number in range(5)]
    nothing = {"errors": 0.0, "slow": 0.0, "cut": 0.0, "stalls": 0.0, "lost_answers": 0.0}
    with s3.server.failing(Faults(3, **{**nothing, fault: 0.3}, in_a_row=1)) as injected:
        for name in names:
            write_bytes(f"{s3.uri}/songs/{name}", name.encode() * 1000)
        entries = import_catalog(f"{s3.uri}/songs")
        assert [read_bytes(entry.uri, max_bytes=10**6) for entry in entries] == [n.encode() * 1000 for n in names]
    assert injected[fault] > 2


@pytest.mark.parametrize("fault", ["errors", "slow", "cut"])
def test_a_store_that_keeps_failing_is_unreachable(
    s3: Bucket,  # noqa: F811
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "_S3_TRIES", 1)
    monkeypatch.setattr(stores, "_S3_ROUNDS", 1)
    uri = f"{s3.uri}/a.wav"
    write_bytes(uri, bytes(10_000))
    nothing = {"errors": 0.0, "slow": 0.0, "cut": 0.0, "stalls": 0.0, "lost_answers": 0.0}
    with s3.server.failing(Faults(3, **{**nothing, fault: 1.0}, in_a_row=100)):
        for work in (lambda: read_bytes(uri), lambda: list_folder(s3.uri), lambda: write_bytes(uri, b"x")):
            with pytest.raises(Unreachable, match="cannot be reached"):
                work()


def test_an_endpoint_that_is_not_there_is_unreachable(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(stores, "_S3_TRIES", 1)
    monkeypatch.setattr(stores, "_S3_ROUNDS", 1)
    with socket.socket() as taken, monkeypatch.context() as elsewhere:
        taken.bind(("127.0.0.1", 0))
        elsewhere.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{taken.getsockname()[1]}")
        forget_clients()
        with pytest.raises(Unreachable):
            describe(f"{s3.uri}/a.wav")
    forget_clients()


def put_key(s3: Bucket, key: str, data: bytes = b"") -> None:  # noqa: F811
    """Put an object of any key, as other programs do."""
    import s3fs

    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.call_s3("put_object", Bucket=s3.uri.removeprefix("s3://"), Key=key, Body=data)


def test_empty_keys_that_stand_for_folders_are_no_files(s3: Bucket) -> None:  # noqa: F811
    for key in ("songs/", "songs/deep/", "songs/hadoop_$folder$"):
        put_key(s3, key)
    for key in ("songs/a.wav", "songs/deep/b.wav"):
        put_key(s3, key, b"sound")
    assert [file.name for file in list_folder(f"{s3.uri}/songs")] == ["a.wav", "deep/b.wav"]
    assert write_catalog(CatalogConfig(source=f"{s3.uri}/songs", dry_run=True)).problems == ()


def test_a_key_that_looks_like_a_version_is_a_key(s3: Bucket) -> None:  # noqa: F811
    key = "q?versionId=abc.wav"
    uri = f"{s3.uri}/songs/{key}"
    put_key(s3, f"songs/{key}", b"sound")
    (entry,) = import_catalog(f"{s3.uri}/songs")
    assert (entry.uri, entry.size, read_bytes(entry.uri)) == (uri, 5, b"sound")
    assert describe(uri).size == 5
    write_bytes(uri, b"other sound")
    assert read_bytes(uri) == b"other sound"
    write_bytes(f"{s3.uri}/list.jsonl", json.dumps({"path": f"songs/{key}"}).encode())
    assert import_catalog(f"{s3.uri}/list.jsonl")[0].size == 11
    remove_tree(uri)
    assert not exists(uri)


def test_names_in_a_store_are_found_in_another_spelling(s3: Bucket) -> None:  # noqa: F811
    import unicodedata

    composed, apart = unicodedata.normalize("NFC", "Café/Löwe"), unicodedata.normalize("NFD", "Café/Löwe")
    put_key(s3, f"songs/{apart}.wav", b"sound")
    put_key(s3, f"songs/{composed}.TXT", b"beside")
    assert import_catalog(f"{s3.uri}/songs")[0].caption == "beside"
    for name in (f"{composed}.wav", composed.replace("/", "\\") + ".wav", f"C:\\music\\{composed}.WAV"):
        write_bytes(f"{s3.uri}/songs/metadata.jsonl", json.dumps({"path": name, "caption": "listed"}).encode())
        for source in (f"{s3.uri}/songs", f"{s3.uri}/songs/metadata.jsonl"):
            (entry,) = import_catalog(source)
            assert (entry.uri, entry.size, entry.caption) == (f"{s3.uri}/songs/{apart}.wav", 5, "listed")


def stems(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says as it ends with 2."""
    import cli

    assert cli.main(list(words)) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    return said


def test_a_bucket_that_is_not_there_is_named_with_its_endpoint(
    s3: Bucket,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = str(put(tmp_path / "list.jsonl", json.dumps({"path": "s3://not-there/a.wav"})))
    (tmp_path / "songs").mkdir()
    put(tmp_path / "songs" / "a.wav")
    output = ("--output", "s3://not-there/catalog.parquet")
    for words in (
        ("catalog", "--source", "s3://not-there/songs", *output),
        ("catalog", "--source", "s3://not-there", *output),
        ("catalog", "--source", listed, "--output", f"{s3.uri}/catalog.parquet"),
        ("catalog", "--source", str(tmp_path / "songs"), *output),
        ("table", "info", "s3://not-there/table"),
        ("table", "verify", "s3://not-there/table"),
    ):
        said = stems(capsys, *words)
        assert "There is no bucket 'not-there'" in said, words
        assert s3.server.endpoint in said
        assert "Create it" in said


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("endpoint", ["localhost:9000", "minio", "https://", "http:/x", "ftp://host", "http://a:b:c"])
def test_an_endpoint_that_is_no_address_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, endpoint: str
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv(name, endpoint)
    for words in (("catalog", "--source", "s3://b/songs", "--output", "c.parquet"), ("table", "info", "s3://b/t")):
        said = stems(capsys, *words)
        assert f"{name}='{endpoint}'" in said
        assert f"{name}=http://minio:9000" in said


@pytest.mark.parametrize("path", ["minio", "bucket of its own"])
def test_an_endpoint_with_a_path_is_named_where_nothing_is_found(
    s3: Bucket,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: str,
) -> None:
    put_key(s3, "songs/a.wav", b"sound")
    path = s3.uri.removeprefix("s3://") if path.startswith("bucket") else path
    endpoint = f"{s3.server.endpoint}/{path}"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AWS_ENDPOINT_URL", endpoint)
        said = stems(capsys, "catalog", "--source", f"{s3.uri}/songs", "--output", "c.parquet")
    forget_clients()
    assert f"'{endpoint}', whose path '/{path}' few stores have" in said


def test_a_store_that_refuses_is_no_bug(
    s3: Bucket,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("Access Denied")

    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "find", refuse)
    said = stems(capsys, "catalog", "--source", f"{s3.uri}/songs", "--output", "c.parquet")
    assert "cannot be reached (Access Denied)" in said
    assert "credentials" in said
