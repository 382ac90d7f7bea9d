"""Every file below a folder, on a disk or in an object store."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping

from models.errors import StemsError
from pipelines.catalog.storage.addresses import MISSING, SourceFile, absolute, is_remote, local_uri
from pipelines.catalog.storage.s3 import about_endpoint
from pipelines.catalog.storage.stores import Store

_FOLDER_MARKS = ("/", "_$folder$")
"""Ends of the keys of empty objects that consoles and Hadoop make for folders."""

logger = logging.getLogger(__name__)


def list_folder(folder: str) -> list[SourceFile]:
    """Every file below a folder, at any depth, sorted by name.

    Hidden files and folders are skipped (partial writes, ``._`` resource forks). Links are followed, a folder
    reached twice is visited once, and a folder that may not be opened is skipped with a warning.
    """
    if is_remote(folder):
        return sorted(_list_remote(folder), key=lambda file: file.name)
    root = absolute(folder)
    if not os.path.isdir(root):  # noqa: PTH112 - names that are not UTF-8 pass through os.path unharmed
        raise StemsError(f"There is no folder '{folder}'.", "Check the path.", code="missing", field="catalog")
    return sorted(_list_local(root), key=lambda file: file.name)


def remote_stamp(info: Mapping[str, object]) -> str:
    """What changes when an object does."""
    return str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")


def _list_local(root: str) -> Iterator[SourceFile]:
    seen: set[tuple[int, int]] = set()
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError as error:
            logger.warning("Folder '%s' is skipped: %s.", local_uri(folder), error.strerror)
            continue
        for child in children:
            if child.name.startswith("."):
                continue
            name = f"{prefix}{child.name}"
            if _is_folder(child):
                pending.append((child.path, f"{name}/"))
            else:
                yield _local_file(child, name)


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link that points to itself
        return False


def _local_file(child: os.DirEntry[str], name: str) -> SourceFile:
    try:
        status = child.stat()
    except OSError:
        return SourceFile(name, local_uri(child.path), 0, MISSING)
    return SourceFile(name, local_uri(child.path), status.st_size, str(status.st_mtime_ns))


def _list_remote(folder: str) -> Iterator[SourceFile]:
    store = Store(folder)
    try:
        found = store.find()
    except FileNotFoundError:
        found = {}
    if not found:
        where = f" {about_endpoint()}" if store.is_s3 else ""
        raise StemsError(
            f"There is nothing at '{folder}'{where}.", "Check the address.", code="missing", field="catalog"
        )
    for path, info in found.items():
        name = path[len(store.path.rstrip("/")) + 1 :]
        is_folder = info["size"] == 0 and name.endswith(_FOLDER_MARKS)
        if name and not is_folder and not any(part.startswith(".") for part in name.split("/")):
            yield SourceFile(name, store.full(path), info["size"], remote_stamp(info))
