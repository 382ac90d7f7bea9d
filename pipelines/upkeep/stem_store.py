"""The folders of kept stems, on a disk or in an object store: their contents, and what killed jobs left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from pipelines.catalog.storage.files import absolute, is_remote, local_path, local_uri
from pipelines.catalog.storage.stores import Store


def normal(folder: str) -> str:
    """A folder's address in one spelling, for comparisons."""
    return folder.rstrip("/") if is_remote(folder) else local_uri(absolute(folder))


def roots(folders: Iterable[str]) -> list[str]:
    """The folders that hold these folders of songs."""
    return sorted({normal(folder).rpartition("/")[0] for folder in folders})


def song_folders(root: str) -> list[str]:
    """Every folder in a root except hidden ones; none if there is no such root."""
    if is_remote(root):
        found = [path for path, info in Store(root).children().items() if info["type"] == "directory"]
        names = [path.rstrip("/").rpartition("/")[2] for path in found]
    else:
        place = local_path(root)
        names = [child.name for child in os.scandir(place) if child.is_dir()] if place.is_dir() else []
    return sorted(f"{root}/{name}" for name in names if not name.startswith("."))


def unfinished(root: str, hours: float) -> list[str]:
    """What killed writers left in a local root: files and folders called ``.….partial``, unchanged for ``hours``.

    An object store has none: an object appears whole.
    """
    place = local_path(root)
    if is_remote(root) or not place.is_dir():
        return []
    since = time.time() - hours * 3600
    left = (Path(folder) / name for folder, folders, files in os.walk(place) for name in (*folders, *files))
    return sorted(
        local_uri(str(path))
        for path in left
        if path.name.startswith(".") and path.name.endswith(".partial") and _changed(path) < since
    )


def _changed(path: Path) -> float:
    """When anything in a file or folder was last written, in seconds; infinity if it is gone."""
    try:
        return max(part.lstat().st_mtime for part in (path, *path.rglob("*")))
    except FileNotFoundError:
        return float("inf")
