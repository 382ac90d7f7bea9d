"""One entry of a catalog: a song's file, and its title, caption and tags."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class GivenStem:
    """A stem that a multitrack song comes with: its name, and the files whose sum it is."""

    name: str
    uris: tuple[str, ...]


@dataclass(frozen=True)
class CatalogEntry:
    """A file that claims to be a song. Nothing of it has been read yet but its name and size.

    Args:
        uri: absolute path, ``file://`` (names that are not UTF-8, percent-encoded), ``s3://`` or ``https://``; of a
            multitrack song its mix, or its folder where it has no mix.
        fingerprint: cheap identity of the source, see :func:`fingerprint`.
        title: the song's title; by default its file name without the suffix.
        caption: what is heard, in words; may be empty.
        tags: short labels, as given.
        size: bytes, of given stems all together.
        seconds: length as the catalog declares it; 0 where it does not.
        stems: given stems, which make separation unnecessary; empty for a mix.
    """

    uri: str
    fingerprint: str
    title: str = ""
    caption: str = ""
    tags: tuple[str, ...] = ()
    size: int = 0
    seconds: float = 0.0
    stems: tuple[GivenStem, ...] = ()


def fingerprint(uri: str, size: int, stamp: str) -> str:
    """32 hex digits that change when the file is moved, resized or rewritten; the file is not read.

    Args:
        uri: where the file is.
        size: its bytes.
        stamp: its modification time in nanoseconds, or its object store's ETag.
    """
    return hashlib.blake2b(f"{uri}\0{size}\0{stamp}".encode(), digest_size=16).hexdigest()


def entry_to_json(entry: CatalogEntry) -> str:
    """An entry as text, to send between workers."""
    return json.dumps(asdict(entry), ensure_ascii=False)


def entry_from_json(text: str) -> CatalogEntry:
    """The inverse of :func:`entry_to_json`."""
    values = json.loads(text)
    stems = tuple(GivenStem(stem["name"], tuple(stem["uris"])) for stem in values["stems"])
    return CatalogEntry(**{**values, "tags": tuple(values["tags"]), "stems": stems})
