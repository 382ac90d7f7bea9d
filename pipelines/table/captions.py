"""Title, caption and tags: what a catalog says of a song now, against what the table's rows say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.catalog.manifests.entries import title_of
from pipelines.catalog.schema import CatalogEntry


@dataclass(frozen=True, slots=True)
class SongWords:
    """What is said of one song."""

    title: str
    caption: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the catalog as the table has it: where it is, and what was said of it."""

    uri: str
    words: SongWords


def words_of(entry: CatalogEntry) -> SongWords:
    """What a catalog says of a file."""
    return SongWords(entry.title, entry.caption, entry.tags)


def with_words(entry: CatalogEntry, words: SongWords) -> CatalogEntry:
    """An entry of which something else is said."""
    return replace(entry, title=words.title, caption=words.caption, tags=words.tags)


def words_from_elsewhere(entry: CatalogEntry, before: SongWords | None, row: SongWords) -> SongWords:
    """The words of a row whose own file this catalog does not list, after an entry with the same audio has spoken.

    Such an entry may be a copy in another collection, of which nothing is said: it erases no words. What it said
    earlier and no longer says does go.

    Args:
        entry: with the same audio.
        before: what the table knows that was said of this entry's file.
        row: the words as they are.
    """
    return SongWords(
        title=entry.title if _has_title(entry, before) else row.title,
        caption=entry.caption if entry.caption or (before and before.caption) else row.caption,
        tags=entry.tags if entry.tags or (before and before.tags) else row.tags,
    )


def speaks_for(entries: Sequence[CatalogEntry], fingerprints: set[str], uris: set[str]) -> bool:
    """Whether the file of a row (by its fingerprints and addresses) is among the entries of its song."""
    return any(entry.fingerprint in fingerprints or entry.uri in uris for entry in entries)


def _has_title(entry: CatalogEntry, before: SongWords | None) -> bool:
    """Whether somebody gave the song a title, or took one back; otherwise it is the name of a file or a folder."""
    *_, folder, name = ["", *entry.uri.rstrip("/").split("/")]
    names = (title_of(name), name, folder)
    return entry.title not in names or (before is not None and before.title not in names)
