"""A folder for each song and a file for each stem, ``<song>/<stem>.flac`` or ``.wav``: as kept stems are laid out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from pipelines.catalog.addresses import SourceFile
from pipelines.catalog.captions import Words
from pipelines.catalog.formats.folder import said_of
from pipelines.catalog.multitracks import Multitrack, by_folder, by_track, entry_of_stems, folder_of
from pipelines.catalog.named import normal_name
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source

STEMS = ("bass", "drums", "guitar", "other", "piano", "vocals")
MIXES = ("mix", "mixture")
LEAST = 2
"""Stems that a folder has at least, to be a song's."""


def songs(source: Source) -> list[CatalogEntry]:
    """Every folder with stems; ``metadata.*`` may name folders, and say what is heard."""
    said = {normal_name(named.name).rstrip("/"): named.words for named in said_of(source)}
    return [entry_of_stems(song, source.problems) for song in read(source.files, said, source.problems)]


def read(files: Iterable[SourceFile], said: dict[str, Words], problems: Problems) -> Iterator[Multitrack]:
    """Songs from a listing. Files that are neither a stem nor the mix are left out, which is noted."""
    for name, inside in sorted(by_folder(files).items()):
        tracks = by_track(inside)
        stems = {stem: [tracks[stem]] for stem in STEMS if stem in tracks}
        if len(stems) < LEAST:
            continue
        mix = next((tracks[mix] for mix in MIXES if mix in tracks), None)
        for other in sorted(set(tracks) - set(STEMS) - set(MIXES)):
            problems.note(
                tracks[other].uri, "this is no stem by its name; it is left out.", f"Stems are {', '.join(STEMS)}."
            )
        yield Multitrack(name, folder_of(inside[0]), stems, mix, said.get(normal_name(name), Words()))


def is_multitrack(files: Iterable[SourceFile]) -> bool:
    """Whether every folder with audio is a song's, with stems."""
    found = False
    for inside in by_folder(files).values():
        audio = [file for file in inside if file.name.lower().endswith((".wav", ".flac", ".mp3", ".ogg"))]
        if not audio:
            continue
        if len({PurePosixPath(file.name).stem.lower() for file in audio} & set(STEMS)) < LEAST:
            return False
        found = True
    return found
