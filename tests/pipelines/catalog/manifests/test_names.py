"""Words are read however files and columns are spelled; what is not read is named."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.trees import put, put_lines

from models.errors import StemsError
from pipelines.catalog.command import write_catalog
from pipelines.catalog.config import CatalogConfig
from pipelines.catalog.formats.catalog import write_catalog_file
from pipelines.catalog.load import import_catalog

NFC, NFD = unicodedata.normalize("NFC", "Café"), unicodedata.normalize("NFD", "Café")


def captions(source: Path, manifest: str = "") -> dict[str, str]:
    folder = source if source.is_dir() else source.parent
    entries = import_catalog(str(source), manifest)
    return {entry.uri.removeprefix(f"{folder}/"): entry.caption for entry in entries}


def problems(source: Path, **settings: str) -> list[str]:
    report = write_catalog(CatalogConfig(source=str(source), dry_run=True, **settings))
    found = [f"{problem} {problem.hint}" for problem in report.problems]
    return [text for text in found if "cannot be read as audio" not in text]


@pytest.mark.parametrize(
    ("audio", "sidecar"),
    [
        (f"{NFD}.wav", f"{NFC}.txt"),
        (f"{NFC}.wav", f"{NFD}.txt"),
        ("UP.wav", "UP.TXT"),
        ("up.WAV", "UP.Txt"),
        ("Mixed.mp3", "mixed.JSON"),
        ("b.wav", "b.wav.txt"),
        ("b.wav", "B.wav.JSON"),
        ("deep/Löwe.flac", unicodedata.normalize("NFD", "deep/LÖWE.TXT")),
        ("a b.wav", "a\u202fb.txt"),  # macOS writes such blanks into names
    ],
)
def test_a_sidecar_is_found_however_its_name_is_spelled(tmp_path: Path, audio: str, sidecar: str) -> None:
    put(tmp_path / audio)
    put(tmp_path / sidecar, '{"caption": "said"}' if sidecar.lower().endswith("json") else "said")
    assert captions(tmp_path) == {audio: "said"}
    assert problems(tmp_path) == []


def test_a_sidecar_belongs_to_the_file_that_is_spelled_most_like_it(tmp_path: Path) -> None:
    for name in ("a.wav", "A.wav", "b.wav", "b.flac", "Song.wav", "SONG.wav", f"{NFC}.wav", f"{NFD}.wav"):
        put(tmp_path / name)
    words = {"a.txt": "a", "b.txt": "b", "b.flac.txt": "b flac", "song.txt": "whose?", f"{NFC}.txt": "composed"}
    for name, text in words.items():
        put(tmp_path / name, text)
    assert captions(tmp_path) == {
        "a.wav": "a",
        "A.wav": "",
        "b.wav": "b",
        "b.flac": "b flac",
        "Song.wav": "",
        "SONG.wav": "",
        f"{NFC}.wav": "composed",
        f"{NFD}.wav": "",
    }
    (orphan,) = problems(tmp_path)
    assert f"{tmp_path}/song.txt: this file has no audio of that name beside, and is not read: 'song.txt'." in orphan


def test_sidecars_without_a_song_are_counted_and_named(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    for name in ("a.txt", "README.txt", "License.txt", *(f"{number}.json" for number in range(7))):
        put(tmp_path / name, "{}")
    (said,) = problems(tmp_path)
    assert "7 files have no audio of that name beside, and are not read: '0.json', '1.json'" in said
    assert "'4.json' and 2 more." in said
    for stem in ("bass", "drums"):
        put(tmp_path / "song" / f"{stem}.wav")
    (tmp_path / "a.wav").unlink()
    assert "8 files" in problems(tmp_path)[0]  # songs with stems have no sidecars


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("file_name, caption", "a.wav, said"),
        ("file_name, caption, tags", 'a.wav, "said", "x, y"'),
        ("File Name,Caption", "a.wav,said"),
        ("FILE_NAME,CAPTION", "a.wav,said"),
        ("filename,description", "a.wav,said"),
        ("\ufeff\ufefffile_name,text", "a.wav,said"),
        (",file_name,caption", "0,a.wav,said"),  # as pandas writes its index
        ("file_name;caption", "a.wav;said"),
        ("file_name\tcaption", "a.wav\tsaid"),
        ("path|caption", "a.wav|said"),
        ("sep=;\r\nfile_name;caption", "a.wav;said\r\n;\r\n;;"),
        ("file_name,caption", "a.wav,said,,\n,,,"),  # as spreadsheets pad rows
        ("caption,text,file_name", ",said,a.wav"),
        ("file_name,caption", "a.wav,sa\0id".replace("sa\0id", "said\0")),
    ],
)
def test_a_table_is_read_however_it_is_spelled(tmp_path: Path, header: str, row: str) -> None:
    put(tmp_path / "a.wav")
    for number, ending in enumerate(("\n", "\r\n", "\r")):
        put(tmp_path / "metadata.csv", ending.join([header, *row.splitlines(), ""]))
        assert captions(tmp_path) == {"a.wav": "said"}, number
        assert problems(tmp_path) == []


@pytest.mark.parametrize("name", ["metadata.csv", "Metadata.CSV", "metadata.tsv", "metadata.csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
def test_a_table_is_read_in_utf_8_and_marked_utf_16_and_else_refused(
    tmp_path: Path, name: str, encoding: str
) -> None:
    import gzip

    put(tmp_path / "é.wav")
    text = 'file_name\tcaption\r\né.wav\t"said\r\non two lines"\r\n'.encode(encoding)
    put(tmp_path / name, gzip.compress(text) if name.endswith("gz") else text)
    if encoding in ("utf-16-le", "latin-1"):
        with pytest.raises(StemsError, match="not UTF-8") as refused:
            import_catalog(str(tmp_path))
        assert name in refused.value.message
    else:
        assert captions(tmp_path) == {"é.wav": "said on two lines"}


def test_columns_that_are_not_read_are_named_with_the_nearest_one(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    put(tmp_path / "metadata.csv", "id,file_name,Capton,genre,composer,empty\n1,a.wav,x,funk,Bach,\n")
    (said,) = problems(tmp_path)
    where = f"{tmp_path}/metadata.csv, line 2: the columns"
    assert said.startswith(
        f"{where} 'Capton' (nearest: 'caption'), 'genre' (nearest: 'tags'), 'composer' are not read."
    )
    put_lines(tmp_path / "metadata.jsonl", [{"path": "a.wav"}, {"path": "b.wav", "prompt": "x"}])
    put(tmp_path / "b.wav")
    (tmp_path / "metadata.csv").unlink()
    (said,) = problems(tmp_path)
    assert "line 2: the column 'prompt' (nearest: 'caption') is not read." in said


def test_keys_of_sidecars_are_read_likewise(tmp_path: Path) -> None:
    for name, text in {
        "a": '{"Caption ": "said", "Tags": ["x"]}',
        "b": '{"description": "said", "genre": "y"}',
    }.items():
        put(tmp_path / f"{name}.wav")
        put(tmp_path / f"{name}.json", text)
    assert captions(tmp_path) == {"a.wav": "said", "b.wav": "said"}
    (said,) = problems(tmp_path)
    assert f"{tmp_path}/b.json, line 1: the column 'genre' (nearest: 'tags') is not read." in said


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("list.csv", "composer,caption\na.wav,x\n", "semicolons"),
        ("list.csv", "Name;Location;Genre\nx;a.wav;y\n", "Rename 'Location' to 'file_name'"),
        ("list.csv", "file_name,caption,caption\na.wav,x,y\n", "names the column 'caption' twice"),
        ("list.csv", "file_name caption\na.wav x\n", "semicolons"),
        ("list.jsonl", '{"filepath": "a.wav"}', "Rename 'filepath' to 'file_name'"),
        ("list.tsv", "song\tcaption\na.wav\tx\n", "PATH"),
    ],
)
def test_a_table_without_names_of_files_says_what_to_do(tmp_path: Path, file: str, text: str, said: str) -> None:
    put(tmp_path / "a.wav")
    with pytest.raises(StemsError) as refused:
        import_catalog(str(put(tmp_path / file, text)))
    assert said in f"{refused.value.message} {refused.value.hint}"


def test_a_table_that_is_not_read_is_named(tmp_path: Path) -> None:
    put(tmp_path / "a.wav")
    for name, caption in {"metadata.jsonl": "lines", "other.jsonl": "other"}.items():
        put_lines(tmp_path / name, [{"path": "a.wav", "caption": caption}])
    put(tmp_path / "metadata.csv", "file_name,caption\na.wav,commas\n")
    assert captions(tmp_path) == {"a.wav": "lines"}
    (said,) = problems(tmp_path)
    assert f"{tmp_path}/metadata.csv: 'metadata.csv', 'other.jsonl' are not read; 'metadata.jsonl' is read." in said
    other = str(tmp_path / "other.jsonl")
    assert captions(tmp_path, other) == {"a.wav": "other"}
    (said,) = problems(tmp_path, manifest=other)
    assert f"'metadata.csv', 'metadata.jsonl' are not read; {other} is read." in said


def test_manifests_of_folders_below_are_read_as_those_of_audio_folders_are(tmp_path: Path) -> None:
    for name in ("train/a.wav", "train/sub/b.wav", "test/a.wav", "c.wav"):
        put(tmp_path / name)
    put(tmp_path / "train" / "metadata.csv", "file_name,caption\na.wav,first\nsub/b.wav,second\n")
    put_lines(tmp_path / "test" / "metadata.jsonl", [{"file_name": "a.wav", "text": "third"}])
    put(tmp_path / "metadata.csv", f"file_name,caption\nc.wav,fourth\n{tmp_path}/test/a.wav,too late\n")
    found = captions(tmp_path)
    assert found == {"c.wav": "fourth", "test/a.wav": "third", "train/a.wav": "first", "train/sub/b.wav": "second"}
    assert [text for text in problems(tmp_path) if "was already named" not in text] == []


@pytest.mark.parametrize("kind", ["in the folder", "alone", "beside it"])
@pytest.mark.parametrize(
    ("named", "file"),
    [
        ("sub\\song.wav", "sub/song.wav"),
        (".\\sub\\song.wav", "sub/song.wav"),
        (NFC + "/" + NFC + ".wav", NFD + "/" + NFD + ".wav"),
        (NFD + "/x.wav", NFC + "/x.wav"),
        ("SUB/Song.WAV", "sub/song.wav"),
        ("C:\\Music\\Mine\\sub\\song.wav", "sub/song.wav"),
        ("C:/Music/song.wav", "song.wav"),
        ("\\\\server\\share\\sub\\song.wav", "sub/song.wav"),
        ("file:///C:/Music/my%20song.wav", "my song.wav"),
        ("/Users/anna/Music/sub/song.wav", "sub/song.wav"),
    ],
)
def test_a_file_is_found_however_a_manifest_names_it(tmp_path: Path, kind: str, named: str, file: str) -> None:
    root = tmp_path / "songs"
    put(root / file)
    row = [{"file_name": named, "caption": "said"}]
    if kind == "beside it":
        assert captions(root, str(put_lines(tmp_path / "list.jsonl", row))) == {file: "said"}
    elif kind == "alone":
        assert captions(put_lines(root / "list.jsonl", row)) == {file: "said"}
    else:
        put_lines(root / "metadata.jsonl", row)
        assert captions(root) == {file: "said"}
        (entry,) = import_catalog(str(root))
        assert Path(entry.uri).exists()


def test_the_home_folder_may_be_named_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "Music" / "a.wav")
    row = [{"file_name": "~/Music/a.wav", "caption": "said"}]
    assert captions(put_lines(tmp_path / "list.jsonl", row)) == {"Music/a.wav": "said"}
    put_lines(tmp_path / "Music" / "metadata.jsonl", row)
    assert captions(tmp_path / "Music") == {"a.wav": "said"}


def test_a_folder_reached_by_a_link_is_the_folder_that_a_manifest_names(tmp_path: Path) -> None:
    put(tmp_path / "disk" / "a.wav")
    (tmp_path / "songs").symlink_to(tmp_path / "disk")
    put_lines(tmp_path / "disk" / "metadata.jsonl", [{"path": f"{tmp_path}/disk/a.wav", "caption": "said"}])
    assert captions(tmp_path / "songs") == {"a.wav": "said"}


def test_files_found_by_the_end_of_a_path_are_named_once(tmp_path: Path) -> None:
    for number in range(3):
        put(tmp_path / f"{number}.wav")
    rows = [{"path": f"D:\\old\\{number}.wav", "caption": "x"} for number in range(3)]
    put_lines(tmp_path / "list.jsonl", rows)
    (said,) = problems(tmp_path / "list.jsonl")
    assert "3 files are named by a path of another machine" in said
    assert f"'D:\\old\\0.wav' is '{tmp_path}/0.wav'" in said


def test_two_names_of_one_file_are_taken_once(tmp_path: Path) -> None:
    put(tmp_path / "song.wav")
    rows = [{"path": "song.wav", "caption": "first"}, {"path": "SONG.WAV", "caption": "second"}]
    for source in (tmp_path, tmp_path / "metadata.jsonl"):
        put_lines(tmp_path / "metadata.jsonl", rows)
        assert captions(source) == {"song.wav": "first"}
        assert "'SONG.WAV' was already named" in problems(source)[0]


@pytest.mark.parametrize("name", ["sub\\..\\..\\secret.wav", "~/secret.wav", "C:\\..\\..\\secret.wav"])
def test_no_spelling_leads_a_manifest_from_elsewhere_out_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import fsspec

    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "songs" / "sub" / "a.wav")
    put(tmp_path / "secret.wav")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/shelf/list.jsonl": json.dumps({"path": name, "caption": "x"}).encode()})
    found: list[str] = []
    with suppress(StemsError):
        found = [e.uri for e in import_catalog(str(tmp_path / "songs"), "memory://shelf/list.jsonl")]
    memory.rm("/shelf", recursive=True)
    assert str(tmp_path / "secret.wav") not in found


def test_control_characters_are_blanks_wherever_words_come_from(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(tmp_path / f"{name}.wav")
    put(tmp_path / "a.txt", "one\0two\x07 three\x1b\r\n")
    put(tmp_path / "b.json", json.dumps({"caption": "one\0two", "tags": ["x\0y", "\0"], "title": "\0T"}))
    put_lines(tmp_path / "metadata.jsonl", [{"path": "c.wav", "caption": "\0one\0", "tags": "x\0"}])
    a, b, c = import_catalog(str(tmp_path))
    assert (a.caption, b.caption, b.tags, b.title) == ("one two three", "one two", ("x y",), "T")
    assert (c.caption, c.tags) == ("one", ("x",))
    write_catalog_file(
        str(tmp_path / "c.parquet"), [replace(a, title="\0T", caption="one\0two", tags=("\0", "x\0y"))]
    )
    (old,) = import_catalog(str(tmp_path / "c.parquet"))
    assert (old.title, old.caption, old.tags) == ("T", "one two", ("x y",))
