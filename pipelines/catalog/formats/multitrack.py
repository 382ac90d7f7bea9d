"""One folder per song and one audio file per stem, ``<song>/<stem>.flac``, the layout of kept stems."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from models.audio.formats import is_audio_name
from pipelines.catalog.formats.folder import relative_name, said_of
from pipelines.catalog.manifests.captions import Words
from pipelines.catalog.manifests.multitracks import MultitrackEntry, by_folder, by_track, entry_of_stems, folder_of
from pipelines.catalog.manifests.names import NameIndex
from pipelines.catalog.manifests.sidecars import SUFFIXES, note_orphans
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import SourceFile

STEMS = ("bass", "drums", "guitar", "other", "piano", "vocals")
MIXES = ("mix", "mixture")
LEAST = 2
"""Stems that a folder has at least, to be a song's."""


def songs(source: Source) -> list[CatalogEntry]:
    """Every folder with stems; ``metadata.*`` may name folders, and say what is heard."""
    said = NameIndex((relative_name(source.folder, named.name), named.words) for named in said_of(source))
    note_orphans([file for file in source.files if file.name.lower().endswith(SUFFIXES)], source.problems)
    return [entry_of_stems(song, source.problems) for song in read(source.files, said, source.problems)]


def read(files: Iterable[SourceFile], said: NameIndex[Words], problems: Problems) -> Iterator[MultitrackEntry]:
    """Songs from a listing. Files that are neither a stem nor the mix are left out, which is noted."""
    for name, inside in sorted(by_folder(files).items()):
        tracks = by_track(inside)
        stems = {stem: [tracks[stem]] for stem in STEMS if stem in tracks}
        if len(stems) < LEAST:
            continue
        mix = next((tracks[mix] for mix in MIXES if mix in tracks), None)
        for other in sorted(set(tracks) - set(STEMS) - set(MIXES)):
            problems.note(
                tracks[other].uri, "its name is not a stem; it is left out.", f"Stems are {', '.join(STEMS)}."
            )
        words = next(iter(said.find(name)), Words())
        yield MultitrackEntry(name, folder_of(inside[0]), stems, mix, words)


def is_multitrack(files: Iterable[SourceFile]) -> bool:
    """Whether every folder with audio is a song's, with stems."""
    found = False
    for inside in by_folder(files).values():
        audio = [file for file in inside if is_audio_name(file.name)]
        if not audio:
            continue
        if len({PurePosixPath(file.name).stem.lower() for file in audio} & set(STEMS)) < LEAST:
            return False
        found = True
    return found
