"""A result is saved whole, into a folder that may be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.fake_service import manifest, zip_of

from models.errors import StemsError
from serving.client.downloads import unpack


@pytest.mark.parametrize(
    "name",
    ["../x.wav", "a/../../x.wav", "/tmp/x.wav", "a/b.wav", "a\\b.wav", "..", ".hidden", "C:x.wav", "folder/", "a\nb"],
)
def test_a_zip_writes_nothing_outside_its_folder_nor_anything_odd(tmp_path: Path, name: str) -> None:
    with pytest.raises(StemsError, match="its name is not plain"):
        unpack(zip_of({"bass.wav": b"", name: b"x"}), tmp_path / "in" / "song")
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    whole = zip_of({"bass.wav": b"sound" * 100})
    for data in (b"", b"no zip", whole[:-10], whole.replace(b"sound", b"noise", 1)):
        with pytest.raises(StemsError, match="The zip is damaged"):
            unpack(data, tmp_path / "song")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_result_is_replaced_whole(tmp_path: Path) -> None:
    said = json.dumps(manifest()).encode()
    sounds = {f"{name}.flac": b"1" for name in ("bass", "drums", "mix")}
    unpack(zip_of({**sounds, "manifest.json": said}), tmp_path / "song")
    unpack(zip_of({"bass.wav": b"2", "manifest.json": said}), tmp_path / "song")
    assert {file.name for file in (tmp_path / "song").iterdir()} == {"bass.wav", "manifest.json"}


@pytest.mark.parametrize("there", [["notes.txt", "manifest.json"], ["bass.wav"], ["manifest.json", "deep/bass.wav"]])
def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(StemsError, match="holds files that this command did not write") as caught:
        unpack(zip_of({"bass.wav": b""}), tmp_path)
    assert caught.value.field == "output"
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(there)
    with pytest.raises(StemsError, match="is a file"):
        unpack(zip_of({"bass.wav": b""}), tmp_path / there[0])


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    unpack(zip_of({"bass.wav": b"1"}), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["bass.wav"]
