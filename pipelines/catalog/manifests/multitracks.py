"""Songs that come with their stems: from the files of a song's folder to an entry."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.audio.formats import READ_SUFFIXES, is_audio_name
from pipelines.catalog.manifests.captions import NO_WORDS, Words
from pipelines.catalog.manifests.entries import check_file
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry, GivenStem, fingerprint
from pipelines.catalog.source import Source, parent
from pipelines.catalog.storage.addresses import SourceFile
from pipelines.catalog.storage.files import in_parallel
from pipelines.catalog.storage.text import read_text

_FIRST = (".flac", ".wav")
"""Of files of one stem, these go before those of other formats, in this order."""


@dataclass(frozen=True)
class MultitrackEntry:
    """One song as a format found it.

    Args:
        name: its folder, relative to the catalog's.
        uri: where that folder is.
        stems: files by stem; the stem is the sum of its files.
        mix: the whole song in one file; None where there is none.
        words: what is said about it.
    """

    name: str
    uri: str
    stems: Mapping[str, Sequence[SourceFile]]
    mix: SourceFile | None = None
    words: Words = NO_WORDS


def descriptions(source: Source, name: str) -> dict[SourceFile, str]:
    """The files of that name, one a song, and what is in them."""
    files = [file for file in source.files if file.name.rpartition("/")[2] == name]
    return dict(zip(files, in_parallel(lambda file: read_text(file.uri), files), strict=True))


def entry_of_stems(song: MultitrackEntry, problems: Problems) -> CatalogEntry:
    """An entry whose identity changes with any of its files."""
    given = [file for files in song.stems.values() for file in files]
    files = [*given, song.mix] if song.mix else given
    for file in files:
        check_file(file, problems)
    uri = song.mix.uri if song.mix else song.uri
    size = sum(file.size for file in given) if given else sum(file.size for file in files)
    return CatalogEntry(
        uri=uri,
        fingerprint=fingerprint(uri, size, stamp_of(files)),
        title=song.words.title or PurePosixPath(song.name.encode(errors="replace").decode()).name,
        caption=song.words.caption,
        tags=song.words.tags,
        size=size,
        seconds=song.words.seconds,
        stems=tuple(
            GivenStem(name, tuple(file.uri for file in sorted(song.stems[name], key=lambda file: file.name)))
            for name in sorted(song.stems)
        ),
    )


def stamp_of(files: Iterable[SourceFile]) -> str:
    """What changes when one of a song's files does."""
    stamps = "\n".join(sorted(f"{file.name}\0{file.size}\0{file.stamp}" for file in files))
    return hashlib.blake2b(stamps.encode(errors="surrogateescape"), digest_size=16).hexdigest()


def by_folder(files: Iterable[SourceFile]) -> dict[str, list[SourceFile]]:
    """Files by the name of the folder that they lie in; "" for the catalog's own."""
    folders: dict[str, list[SourceFile]] = defaultdict(list)
    for file in files:
        folders[file.name.rpartition("/")[0]].append(file)
    return dict(folders)


def by_track(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """Files that may be stems by their name without the suffix, in lower case; of several, FLAC, then WAV."""
    suffixes = (*reversed(READ_SUFFIXES), *reversed(_FIRST))
    audio = [file for file in files if is_audio_name(file.name)]
    found = sorted(
        audio, key=lambda file: max(n for n, end in enumerate(suffixes) if file.name.lower().endswith(end))
    )
    return {track(file): file for file in found}


def track(file: SourceFile) -> str:
    """A file's name without folders and suffix, in lower case."""
    return PurePosixPath(file.name).stem.lower()


def folder_of(file: SourceFile, up: int = 1) -> str:
    """The address of the folder that a file lies in, or of the one ``up`` above."""
    uri = file.uri
    for _ in range(up):
        uri = parent(uri)
    return uri
