"""MTG-Jamendo's autotagging lists: tab-separated, with any number of tags at the end of a line."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.catalog.manifests.captions import LineError, Words, distinct, one_line, seconds_of
from pipelines.catalog.manifests.entries import Named, entries_of
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source

HEADER = ("TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS")
_PATH, _DURATION, _TAGS = 3, 4, 5


def songs(source: Source) -> list[CatalogEntry]:
    """The tracks that a list names, below the folder of audio, or beside the list where no folder is given."""
    return entries_of(read(source.text, source.manifest, source.problems), source)


def read(text: str, file: str, problems: Problems) -> Iterator[Named]:
    """A file for each line, with its length, and its tags without their kind: ``mood/theme---happy`` is "happy"."""
    for line, row in enumerate(text.splitlines(), start=1):
        place, fields = f"{file}, line {line}", row.rstrip("\n").split("\t")
        if line == 1:
            if tuple(fields[: len(HEADER)]) != HEADER:
                problems.bad_line(place, "is not the header of a list of MTG-Jamendo", "\\t".join(HEADER) + " it is.")
                return
            continue
        if not row.strip():
            continue
        if len(fields) < _TAGS or not fields[_PATH].strip():
            problems.bad_line(place, f"has {len(fields)} fields, or no path", "Correct or remove the line.")
            continue
        try:
            seconds = seconds_of({"DURATION": fields[_DURATION]}, "DURATION")
        except LineError as error:
            problems.bad_line(place, error.what, error.hint)
            continue
        tags = distinct(tag for field in fields[_TAGS:] if (tag := one_line(field.rpartition("---")[2])))
        yield Named(fields[_PATH], Words(tags=tags, seconds=seconds), place)
