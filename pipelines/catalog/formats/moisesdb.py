"""MoisesDB: ``<uuid>/data.json`` names a song's stems and their tracks, ``<uuid>/<stem>/<track id>.wav``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from models.audio.formats import is_audio_name
from pipelines.catalog.manifests.captions import LineError, Words, json_object, tags_of, text_of
from pipelines.catalog.manifests.multitracks import (
    MultitrackEntry,
    by_folder,
    descriptions,
    entry_of_stems,
    folder_of,
)
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import MISSING, SourceFile

KEPT = ("bass", "drums", "vocals")
"""Its stems that keep their names; all others are "other"."""

DESCRIPTION = "data.json"


def songs(source: Source) -> list[CatalogEntry]:
    """Every song that has a ``data.json``."""
    found = read(descriptions(source, DESCRIPTION), source.files, source.problems)
    return [entry_of_stems(song, source.problems) for song in found]


def read(
    described: Mapping[SourceFile, str], files: Iterable[SourceFile], problems: Problems
) -> Iterator[MultitrackEntry]:
    """Songs from their descriptions and a listing; missing tracks are noted."""
    folders = by_folder(files)
    for description, text in described.items():
        values = json_object(text, description.uri, problems)
        if not values:
            continue
        name = description.name.rpartition("/")[0]
        try:
            words = Words(title=text_of(values, "song"), tags=tags_of(values.get("genre")))
            stems = _stems(values, name, description, folders)
        except LineError as error:
            problems.bad_line(f"{description.uri}, line 1", error.what, error.hint)
            continue
        yield MultitrackEntry(name, folder_of(description), stems, words=words)


def _stems(
    values: Mapping[str, object], song: str, description: SourceFile, folders: Mapping[str, list[SourceFile]]
) -> dict[str, list[SourceFile]]:
    listed = values.get("stems")
    if not isinstance(listed, list) or not listed:
        raise LineError("has no 'stems'", "Copy the song again.")
    stems: dict[str, list[SourceFile]] = defaultdict(list)
    for stem in listed:
        kind = stem.get("stemName") if isinstance(stem, dict) else None
        tracks = stem.get("tracks") if isinstance(stem, dict) else None
        if not isinstance(kind, str) or not isinstance(tracks, list):
            raise LineError("has a stem without 'stemName' and 'tracks'", "Copy the song again.")
        inside = folders.get(f"{song}/{kind}" if song else kind, [])
        there = {file.name.rpartition("/")[2].rpartition(".")[0]: file for file in inside}
        for track in tracks:
            key = str(track.get("id", "")) if isinstance(track, dict) else ""
            name, uri = f"{song}/{kind}/{key}.wav", f"{folder_of(description)}/{kind}/{key}.wav"
            stems[kind if kind in KEPT else "other"].append(there.get(key) or SourceFile(name, uri, 0, MISSING))
    return dict(stems)


def is_moisesdb(files: Iterable[SourceFile]) -> bool:
    """Whether a listing is laid out so: descriptions, with audio one folder below them."""
    names = {file.name.rpartition("/")[0] for file in files if file.name.rpartition("/")[2] == DESCRIPTION}
    tracks = (file.name for file in files if is_audio_name(file.name) and file.name.count("/") >= 2)
    return any(track.rsplit("/", 2)[0] in names for track in tracks)
