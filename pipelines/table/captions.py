"""A song's title, caption and tags: those that the catalog gives now, and those that the table has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.catalog.manifests.entries import title_of
from pipelines.catalog.schema import CatalogEntry


@dataclass(frozen=True, slots=True)
class SongWords:
    """Title, caption and tags of one song."""

    title: str
    caption: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the catalog as the table has it: its address and its words."""

    uri: str
    words: SongWords


def words_of(entry: CatalogEntry) -> SongWords:
    """The words that the catalog gives a file."""
    return SongWords(entry.title, entry.caption, entry.tags)


def with_words(entry: CatalogEntry, words: SongWords) -> CatalogEntry:
    """The entry with other words."""
    return replace(entry, title=words.title, caption=words.caption, tags=words.tags)


def words_from_elsewhere(entry: CatalogEntry, before: SongWords | None, row: SongWords) -> SongWords:
    """The words of a row whose own file this catalog does not list, given a listed entry with the same audio.

    Such an entry may be a copy in another collection that has no words: it erases none. Words that the entry had
    earlier and has no longer are erased.

    Args:
        entry: with the same audio.
        before: the words that the table has of this entry's file, if any.
        row: the words of the row now.
    """
    return SongWords(
        title=entry.title if _has_title(entry, before) else row.title,
        caption=entry.caption if entry.caption or (before and before.caption) else row.caption,
        tags=entry.tags if entry.tags or (before and before.tags) else row.tags,
    )


def speaks_for(entries: Sequence[CatalogEntry], fingerprints: set[str], uris: set[str]) -> bool:
    """Whether one of a song's entries is the file that its row names, by fingerprint or address."""
    return any(entry.fingerprint in fingerprints or entry.uri in uris for entry in entries)


def _has_title(entry: CatalogEntry, before: SongWords | None) -> bool:
    """Whether the title was given or taken back on purpose; otherwise it is the name of a file or a folder."""
    *_, folder, name = ["", *entry.uri.rstrip("/").split("/")]
    names = (title_of(name), name, folder)
    return entry.title not in names or (before is not None and before.title not in names)
