"""Which files of a folder this project wrote: those that the folder's list names.

A folder that we write has a list of its files: ``manifest.json`` for a song, else ``.stems.json``, a hidden file that
is not part of a model's digest. Older releases wrote no list; their songs are recognised by the stems in the
manifest, their models by the title of the README and by their file names.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.files.partial import is_hidden
from models.files.storage import storage_errors

LIST, MANIFEST = ".stems.json", "manifest.json"

_DROPPINGS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers leave in the folders that they show."""

_TITLES = ("# Multi-stem language model", "# Stem codec", "# Separator")
_PART = r"(config\.json|model\.safetensors|[\w-]+\.(json|safetensors)|README\.md|LICENCE\.md)"
_MODEL_FILE = re.compile(_PART)
_ASSEMBLY_FILE = re.compile(rf"(assembly\.json|README\.md|LICENCE\.md|(lm|separator|codecs/[\w-]+)/{_PART})")
_SONG_FILES = ("mix.wav", "codes.npy", MANIFEST)
_EARLIER_FORMATS = {"wav", "flac", "opus", "ogg", "mp3"}
"""Audio formats of releases whose services wrote songs without a list."""


def is_model(folder: Path) -> bool:
    """Whether a folder is empty, or holds only a model that we wrote or a part of one."""
    files = _counting(folder)
    found = _json(folder / LIST)
    listed = None if found is None else _own_list(found)
    return not files or (_earlier_model(folder, files) if listed is None else set(files) <= {*listed, LIST})


def is_song(folder: Path) -> bool:
    """Whether a folder is empty, or holds only a song that we wrote."""
    files = _counting(folder)
    found = _json(folder / MANIFEST)
    listed = None if found is None else _song_list(found)
    return not files or (listed is not None and set(files) <= {*listed, MANIFEST})


def listed_files(folder: Path) -> set[str]:
    """The files that the lists in a folder name."""
    own, song = _json(folder / LIST) or {}, _json(folder / MANIFEST) or {}
    return {*(_own_list(own) or ()), *(_song_list(song) or ())}


def _counting(folder: Path) -> list[str]:
    """The files of a folder, without those of file managers and those still being written."""
    names = [name for name in entries(folder) if name.rsplit("/", 1)[-1] not in _DROPPINGS]
    return [name for name in names if not is_hidden(name.split("/")[0])]


def entries(folder: Path) -> list[str]:
    """Relative paths of files, links and empty folders below a folder; links are not followed."""
    found: list[str] = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        inside = Path(place).relative_to(folder)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        if not folders and not files and place != str(folder):
            found.append(f"{inside.as_posix()}/")
        found += [(inside / name).as_posix() for name in (*files, *links)]
    return sorted(found)


def write_list(folder: Path) -> None:
    """Write the list of all files of a folder into it."""
    files = [*entries(folder), LIST]
    (folder / LIST).write_text(json.dumps({"files": sorted(set(files))}, indent=1) + "\n", encoding="utf-8")


def mark_working(folder: Path) -> None:
    """Create a folder that will grow, such as a training run's, and mark it as ours."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not is_working(folder):
            (folder / LIST).write_text(json.dumps({"working": True}) + "\n", encoding="utf-8")


def is_working(folder: Path) -> bool:
    """Whether :func:`mark_working` marked the folder."""
    found = _json(folder / LIST)
    return found is not None and found.get("working") is True


def _own_list(found: dict[str, Any]) -> set[str] | None:
    files = found.get("files")
    return {str(name) for name in files} if isinstance(files, list) else None


def _song_list(found: dict[str, Any]) -> set[str] | None:
    """A song's `files`, or the names that earlier manifests imply: of `stems generate`, then of the service."""
    if not {"seed", "model", "stems", "sample_rate"} <= found.keys() or not isinstance(found["stems"], list):
        return None
    if isinstance(found.get("files"), list):
        return _own_list(found)
    if all(isinstance(stem, str) for stem in found["stems"]) and "layout" in found:
        return {*(f"{stem}.wav" for stem in found["stems"]), *_SONG_FILES}
    if all(isinstance(stem, dict) and "file" in stem for stem in found["stems"]) and "mix" in found:
        names = {str(stem["file"]) for stem in found["stems"]} | {str(found["mix"])}
        endings = {name.rpartition(".")[2] for name in names}
        return names | set(_SONG_FILES[1:]) if endings <= _EARLIER_FORMATS else None
    return None


def _earlier_model(folder: Path, files: Iterable[str]) -> bool:
    """Whether these are the files of a model of an older release, or of one of its parts."""
    if _json(folder / "assembly.json") is not None:
        return all(_ASSEMBLY_FILE.fullmatch(name) for name in files)
    try:
        title = (folder / "README.md").read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
    except OSError:
        return False
    return title in _TITLES and all(_MODEL_FILE.fullmatch(name) for name in files)


def _json(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _raise(error: OSError) -> None:
    raise error  # an unreadable folder may hold anything
