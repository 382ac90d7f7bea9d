"""Slakh2100: ``TrackNNNNN/metadata.yaml`` says which instrument each ``stems/S00.flac`` is, beside ``mix.flac``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import yaml

from pipelines.catalog.manifests.captions import Words, distinct, one_line
from pipelines.catalog.manifests.multitracks import (
    MultitrackEntry,
    by_folder,
    by_track,
    descriptions,
    entry_of_stems,
    folder_of,
)
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import MISSING, SourceFile

DESCRIPTION = "metadata.yaml"
MIX = "mix"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def songs(source: Source) -> list[CatalogEntry]:
    """Every track that has a ``metadata.yaml``."""
    found = read(descriptions(source, DESCRIPTION), source.files, source.problems)
    return [entry_of_stems(song, source.problems) for song in found]


def read(
    described: Mapping[SourceFile, str], files: Iterable[SourceFile], problems: Problems
) -> Iterator[MultitrackEntry]:
    """Songs from their descriptions and a listing; instruments that were rendered and are not there are noted."""
    folders = by_folder(files)
    for description, text in described.items():
        listed = _instruments(text, description, problems)
        if not listed:
            continue
        name, uri = description.name.rpartition("/")[0], folder_of(description)
        there = by_track(folders.get(f"{name}/stems" if name else "stems", []))
        stems: dict[str, list[SourceFile]] = defaultdict(list)
        for key, values in listed.items():
            file = there.get(key.lower())
            if file is None and values.get("audio_rendered") is not False:
                file = SourceFile(f"{name}/stems/{key}.flac", f"{uri}/stems/{key}.flac", 0, MISSING)
            if file is not None:
                stems[stem_of(values)].append(file)
        tags = distinct(one_line(str(values["inst_class"])) for values in listed.values() if values.get("inst_class"))
        mix = by_track(folders.get(name, [])).get(MIX)
        yield MultitrackEntry(name, uri, dict(stems), mix, Words(tags=tags))


def stem_of(instrument: Mapping[str, object]) -> str:
    """The stem that an instrument belongs to."""
    if instrument.get("is_drum") is True:
        return "drums"
    kind = str(instrument.get("inst_class", "")).lower()
    return kind if kind in ("bass", "drums", "vocals") else "other"


def _instruments(text: str, description: SourceFile, problems: Problems) -> dict[str, Mapping[str, object]]:
    place = f"{description.uri}, line 1"
    try:
        values = yaml.load(text, Loader=_LOADER)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{description.uri}, line {mark.line + 1}" if mark else place
        problems.bad_line(place, f"is not YAML ({getattr(error, 'problem', error)})", "Copy the track again.")
        return {}
    stems = values.get("stems") if isinstance(values, dict) else None
    if not isinstance(stems, dict) or not all(isinstance(stem, dict) for stem in stems.values()):
        problems.bad_line(place, "has no 'stems'", "Copy the track again.")
        return {}
    return {str(key): stem for key, stem in stems.items()}


def is_slakh(files: Iterable[SourceFile]) -> bool:
    """Whether a listing is laid out so."""
    parts = (file.name.split("/") for file in files if file.name.endswith(f"/{DESCRIPTION}"))
    return any(p[-2].startswith("Track") for p in parts)
