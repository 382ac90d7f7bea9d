"""One entry of a catalog: where a song's file is, and what is said about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogEntry:
    """A file that claims to be a song. Nothing of it has been read yet but its name and size.

    Args:
        uri: absolute path, ``file://`` (names that are not UTF-8, percent-encoded) or ``s3://``.
        fingerprint: cheap identity of the source, see :func:`fingerprint`.
        title: the song's title; its file name without the suffix where nobody says.
        caption: what is heard, in words; may be empty.
        tags: short labels, as given.
        size: bytes.
    """

    uri: str
    fingerprint: str
    title: str = ""
    caption: str = ""
    tags: tuple[str, ...] = ()
    size: int = 0


def fingerprint(uri: str, size: int, stamp: str) -> str:
    """32 hex digits that change when the file is moved, resized or rewritten; the file is not read.

    Args:
        uri: where the file is.
        size: its bytes.
        stamp: its modification time in nanoseconds, or its object store's ETag.
    """
    return hashlib.blake2b(f"{uri}\0{size}\0{stamp}".encode(), digest_size=16).hexdigest()
