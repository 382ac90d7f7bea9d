"""Addresses of files: paths, ``file://``, object stores, HTTP; and entries of a listing."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

MISSING = "missing"
"""The stamp of a file that is not there."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file below a folder.

    Args:
        name: path relative to the folder, with ``/``.
        uri: where to read it, see :func:`local_uri`.
        size: bytes; 0 for a broken link.
        stamp: modification time in nanoseconds, or ETag; :data:`MISSING` for a broken link.
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


def local_name(uri: str) -> str:
    """The inverse of :func:`local_uri`."""
    return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))) if uri.startswith("file://") else uri


def local_path(uri: str) -> Path:
    """The inverse of :func:`local_uri`, as a path."""
    return Path(local_name(uri))


def absolute(path: str) -> str:
    """An absolute path without ``..``; links are kept, so that a link that moves on keeps its songs' names."""
    return os.path.abspath(local_name(path))  # noqa: PTH100 - resolve() would follow links


def leads_to(place: str) -> str:
    """Where a path leads, through links; of an address in a store one spelling."""
    if not is_remote(place):
        return os.path.realpath(local_name(place))
    scheme, _, path = place.partition("://")
    return f"{'s3' if scheme == 's3a' else scheme}://{posixpath.normpath(path.strip('/'))}"


def lies_in(place: str, folder: str) -> bool:
    """Whether a place is a folder, or lies below it, whatever links lead to either."""
    there, above = leads_to(place), leads_to(folder)
    return there == above or there.startswith(f"{above.rstrip('/')}/")
