"""Files wherever they are: read, describe, write and remove them on a disk, in an object store or over HTTP."""

from __future__ import annotations

import errno
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from models.errors import StemsError, first_line
from models.files.partial import hidden
from models.files.storage import CODE, storage_error
from pipelines.catalog.storage.addresses import (
    MISSING,
    SourceFile,
    absolute,
    is_remote,
    local_name,
    local_path,
    local_uri,
)
from pipelines.catalog.storage.http import is_http, read_http, too_large
from pipelines.catalog.storage.stores import Store, Unreachable
from pipelines.catalog.storage.walk import list_folder, remote_stamp

__all__ = [
    "SourceFile",
    "Unreachable",
    "absolute",
    "describe",
    "describe_all",
    "exists",
    "in_parallel",
    "is_remote",
    "list_folder",
    "local_path",
    "local_uri",
    "not_written",
    "read_bytes",
    "remove_tree",
    "write_bytes",
]

_AT_ONCE = 32
_WORTH_LISTING = 50
"""Files named in one folder of a store from which on the folder is listed: a page holds a thousand."""

A = TypeVar("A")
B = TypeVar("B")


def read_bytes(uri: str, *, allow_hosts: Collection[str] = (), max_bytes: int | None = None) -> bytes:
    """All bytes of a file.

    Args:
        uri: a path, ``file://``, ``s3://`` or, of an allowed host, ``http(s)://``.
        allow_hosts: hosts that may be read from; see :func:`pipelines.catalog.storage.http.read_http`.
        max_bytes: refuse larger files, unread where their size is known.

    Raises:
        FileNotFoundError: there is none. OSError: it cannot be read.
        Unreachable: the store or host does not answer after several tries.
        StemsError: code ``too_large``; ``host`` for a host that is not allowed.
    """
    if is_http(uri):
        return read_http(uri, allow_hosts, max_bytes=max_bytes).data
    if is_remote(uri):
        store = Store(uri)
        if max_bytes is not None:
            _check_size(uri, store.info()["size"], max_bytes)
        return store.read()
    file = local_path(uri)
    if file.exists() and not file.is_file():  # reading a pipe without a writer would block
        raise OSError(errno.EINVAL, "not a regular file")
    if max_bytes is not None:
        _check_size(uri, file.stat().st_size, max_bytes)
    return file.read_bytes()


def _check_size(uri: str, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise too_large(uri, size, max_bytes)


def describe(uri: str, allow_hosts: Collection[str] = ()) -> SourceFile:
    """Size and stamp of one file; "missing" where there is none, so that the job can say so later.

    Raises what :func:`read_bytes` does, but for missing local files.
    """
    name = uri.rsplit("/", 1)[-1]
    try:
        if is_http(uri):
            answer = read_http(uri, allow_hosts, method="HEAD")
            return SourceFile(name, uri, answer.size, answer.stamp)
        if is_remote(uri):
            info = Store(uri).info()
            return SourceFile(name, uri, info["size"], remote_stamp(info))
    except FileNotFoundError:
        return SourceFile(name, uri, 0, MISSING)
    try:
        status = os.stat(local_name(uri))  # noqa: PTH116 - ten thousands of them
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return SourceFile(name, uri, 0, MISSING)
    return SourceFile(name, uri, status.st_size, str(status.st_mtime_ns))


def describe_all(uris: Sequence[str], allow_hosts: Collection[str] = ()) -> list[SourceFile]:
    """:func:`describe` for many files, in their order: remote ones at once, or by listing the folder of many."""
    found = _listed([uri for uri in uris if is_remote(uri) and not is_http(uri)])
    asked = [uri for uri in uris if is_remote(uri) and uri not in found]
    found |= dict(zip(asked, in_parallel(lambda uri: describe(uri, allow_hosts), asked), strict=True))
    return [found[uri] if uri in found else describe(uri) for uri in uris]


def _listed(uris: Sequence[str]) -> dict[str, SourceFile]:
    """Those of the files that lie in folders worth listing."""
    folders: dict[str, list[str]] = defaultdict(list)
    for uri in uris:
        folders[uri.rpartition("/")[0]].append(uri)
    found: dict[str, SourceFile] = {}
    for folder, names in folders.items():
        if len(names) >= _WORTH_LISTING:
            children = {path.rsplit("/", 1)[-1]: info for path, info in Store(folder).children().items()}
            for uri in names:
                name = uri.rsplit("/", 1)[-1]
                info = children.get(name, {})
                found[uri] = SourceFile(name, uri, info.get("size", 0), remote_stamp(info) if info else MISSING)
    return found


def in_parallel(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """``function`` of each item, many at once; for work that waits. The first error ends it."""
    if not items:
        return []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def exists(uri: str) -> bool:
    """Whether there is a file, or a folder that is not empty, in a local path or an object store."""
    return Store(uri).exists() if is_remote(uri) else local_path(uri).exists()


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file, local (with its folders) or in an object store; it appears whole or not at all."""
    if is_remote(uri):
        Store(uri).write(data)
        return
    path = local_path(uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = hidden(path)
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def not_written(folder: str, error: Exception, field: str) -> StemsError:
    """The error for a folder, on a disk or in an object store, that could not be written.

    Args:
        folder: where it was written.
        error: what was raised.
        field: the setting that names the folder.
    """
    if is_remote(folder):
        why = error.why if isinstance(error, Unreachable) else first_line(error)
        hint = "Check the bucket, the credentials and the network, or name another folder."
    else:
        if (told := storage_error(error, local_path(folder), field=field)) is not None:
            return told
        why, hint = first_line(error), "Check the disk, or name another folder."
    return StemsError(f"Nothing can be written to '{folder}': {why}.", hint, code=CODE, field=field)


def remove_tree(uri: str) -> None:
    """Delete a file, or a folder with everything in it, local or in an object store; nothing where there is none."""
    if is_remote(uri):
        Store(uri).remove()
        return
    path = local_path(uri)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
