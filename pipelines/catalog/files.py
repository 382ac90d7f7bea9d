"""List and read files, on a disk or in an object store."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from models.errors import StemsError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceFile:
    """A file below a folder.

    Args:
        name: path relative to the folder, with ``/``.
        uri: where to read it, see :func:`local_uri`.
        size: bytes; 0 for a broken link.
        stamp: modification time in nanoseconds, or ETag; "missing" for a broken link.
    """

    name: str
    uri: str
    size: int
    stamp: str


def is_remote(uri: str) -> bool:
    """True for ``s3://`` and its like, False for paths and ``file://``."""
    return "://" in uri and not uri.startswith("file://")


def local_uri(path: str) -> str:
    """The path itself; percent-encoded, with ``file://``, when it is not UTF-8 and no table could hold it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(path))
    return path


def local_path(uri: str) -> Path:
    """The inverse of :func:`local_uri`."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri)


def absolute(path: str) -> str:
    """An absolute path without ``..``; links are kept, so that a link that moves on keeps its songs' names."""
    return os.path.abspath(local_path(path))  # noqa: PTH100 - resolve() would follow links


def read_bytes(uri: str) -> bytes:
    """All bytes of a file; OSError when it cannot be read."""
    if not is_remote(uri):
        file = local_path(uri)
        if file.exists() and not file.is_file():  # a pipe that nobody writes to would be waited for
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read_bytes()
    filesystem, path = _filesystem(uri)
    data: bytes = filesystem.cat_file(path)
    return data


def describe(uri: str) -> SourceFile:
    """Size and stamp of one file; "missing" where there is none, so that the job can say so later."""
    name = uri.rsplit("/", 1)[-1]
    if is_remote(uri):
        filesystem, path = _filesystem(uri)
        try:
            info = filesystem.info(path)
        except FileNotFoundError:
            return SourceFile(name, uri, 0, "missing")
        return SourceFile(name, uri, info["size"], _remote_stamp(info))
    try:
        status = local_path(uri).stat()
    except OSError:
        return SourceFile(name, uri, 0, "missing")
    return SourceFile(name, uri, status.st_size, str(status.st_mtime_ns))


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
        return SourceFile(name, local_uri(child.path), 0, "missing")
    return SourceFile(name, local_uri(child.path), status.st_size, str(status.st_mtime_ns))


def _list_remote(folder: str) -> Iterator[SourceFile]:
    filesystem, root = _filesystem(folder)
    found = filesystem.find(root, detail=True)
    if not found:
        raise StemsError(f"There is nothing at '{folder}'.", "Check the address.", code="missing", field="catalog")
    for path, info in found.items():
        name = path[len(root.rstrip("/")) + 1 :]
        if not any(part.startswith(".") for part in name.split("/")):
            yield SourceFile(name, filesystem.unstrip_protocol(path), info["size"], _remote_stamp(info))


def _remote_stamp(info: dict[str, object]) -> str:
    return str(info.get("ETag") or info.get("LastModified") or info.get("mtime") or "")


def _filesystem(uri: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    filesystem, path = url_to_fs(uri)
    return filesystem, path
