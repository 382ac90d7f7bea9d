"""Catalogs, shell, HTTP, the studio and what is written about them read one list of audio formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers.trees import put

from models.audio.formats import READ_SUFFIXES
from models.audio.stem_files import sound_files
from pipelines.catalog.load import import_catalog
from serving.http.openapi import form_body
from serving.kinds.registry import KINDS
from serving.kinds.source import SourceKind

ROOT = Path(__file__).parents[1]
SUFFIX = re.compile(r"\.[a-z0-9]{2,5}\b")


def test_catalogs_and_folders_of_stems_take_every_format(tmp_path: Path) -> None:
    for suffix in READ_SUFFIXES:
        put(tmp_path / f"song{suffix}")
        put(tmp_path / f"LOUD{suffix.upper()}")
    put(tmp_path / "song.wma.txt")
    expected = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".txt")
    assert [Path(entry.uri).name for entry in import_catalog(str(tmp_path))] == expected
    assert [file.name for file in sound_files(tmp_path)] == expected


@pytest.mark.parametrize("suffix", READ_SUFFIXES)
def test_stems_of_a_catalog_come_in_every_format(tmp_path: Path, suffix: str) -> None:
    for stem in ("bass", "drums"):
        put(tmp_path / "song" / f"{stem}{suffix}")
    (entry,) = import_catalog(str(tmp_path))
    assert [stem.uris for stem in entry.stems] == [(f"{tmp_path}/song/{stem}{suffix}",) for stem in ("bass", "drums")]


def test_the_studio_offers_every_format() -> None:
    page = (ROOT / "serving" / "page" / "index.html").read_text()
    (offered,) = re.findall(r'type="file" accept="([^"]*)"', page)
    assert offered.split(",") == ["audio/*", *READ_SUFFIXES]


@pytest.mark.parametrize(
    ("file", "begins"), [("README.md", "`songs` is a folder of audio"), ("docs/API.md", "| `song` |")]
)
def test_documents_name_every_format(file: str, begins: str) -> None:
    text = (ROOT / file).read_text()
    said = text[text.index(begins) :].partition("captions")[0].partition("\n| *a stem")[0]
    assert tuple(SUFFIX.findall(said)) == READ_SUFFIXES


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if isinstance(kind, SourceKind)])
def test_the_api_names_every_format(kind: SourceKind[Any]) -> None:
    song = form_body(kind)["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["song"]
    assert tuple(SUFFIX.findall(song["description"])) == READ_SUFFIXES


def test_no_module_has_a_list_of_its_own() -> None:
    several = re.compile(r"""["']\.mp3["'],|,\s*["']\.mp3["']|["']\.(?:aiff|m4a|ogg)["'],""")
    own = [
        str(file.relative_to(ROOT))
        for folder in ("models", "pipelines", "serving", "cluster")
        for file in (ROOT / folder).rglob("*.py")
        if several.search(file.read_text())
    ]
    assert own == ["models/audio/formats.py", "pipelines/demo/band/render.py"]  # the demo writes some
