"""MUSDB18-HQ: ``{train,test}/<song>/{mixture,bass,drums,other,vocals}.wav``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipelines.catalog.manifests.multitracks import MultitrackEntry, by_folder, by_track, entry_of_stems, folder_of
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import SourceFile

STEMS = ("bass", "drums", "other", "vocals")
MIX = "mixture"
SPLITS = ("train", "test")


def songs(source: Source) -> list[CatalogEntry]:
    """Every song, of both splits; those of this project are its own."""
    return [entry_of_stems(song, source.problems) for song in read(source.files, source.problems)]


def read(files: Iterable[SourceFile], problems: Problems) -> Iterator[MultitrackEntry]:
    """Songs from a listing; a stem that is missing is noted."""
    for name, inside in sorted(by_folder(files).items()):
        tracks = by_track(inside)
        if MIX not in tracks:
            continue
        for stem in STEMS:
            if stem not in tracks:
                problems.note(folder_of(inside[0]), f"the song lacks '{stem}'.", "Copy it again, or do without.")
        stems = {stem: [tracks[stem]] for stem in STEMS if stem in tracks}
        yield MultitrackEntry(name, folder_of(inside[0]), stems, tracks[MIX])


def is_musdb(files: Iterable[SourceFile]) -> bool:
    """Whether a listing is laid out so."""
    parts = (file.name.split("/") for file in files)
    return any(len(p) >= 3 and p[-3] in SPLITS and p[-1] == f"{MIX}.wav" for p in parts)
