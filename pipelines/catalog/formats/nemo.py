"""NeMo manifests: JSON lines with ``audio_filepath``, ``duration``, ``text`` and perhaps ``offset``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipelines.catalog.manifests.captions import LineError, Words, seconds_of, words_of
from pipelines.catalog.manifests.entries import Named, entries_of
from pipelines.catalog.manifests.names import normal_name
from pipelines.catalog.manifests.records import Record, json_lines
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source


def songs(source: Source) -> list[CatalogEntry]:
    """The files that the manifest names, each once and whole."""
    lines = json_lines(source.text, source.manifest, source.problems)
    return entries_of(read(lines, source.problems), source)


@dataclass
class _File:
    name: str
    place: str
    words: Words
    lines: int = 0
    partial: bool = False


def read(records: Iterable[Record], problems: Problems) -> Iterator[Named]:
    """A file for each ``audio_filepath``. Lines with an offset, or several for one file, are parts of it: the file
    is taken once, whole, with the first words and without a length, and that is noted.
    """
    files: dict[str, _File] = {}
    for record in records:
        name = record.values.get("audio_filepath")
        if not isinstance(name, str):
            problems.bad_line(record.place, "names no file", "Give each line an 'audio_filepath'.")
            continue
        try:
            words, offset = words_of(record.values), seconds_of(record.values, "offset")
        except LineError as error:
            problems.bad_line(record.place, error.what, error.hint)
            continue
        file = files.setdefault(normal_name(name), _File(name, record.place, Words()))
        file.words = file.words.over(words)
        file.lines += 1
        file.partial = offset > 0 or file.partial or file.lines > 1
    for file in files.values():
        words = file.words
        if file.partial:
            words = Words(words.title, words.caption, words.tags)
            problems.note(file.place, whole_instead(file.name, file.lines), WHOLE_HINT)
        yield Named(file.name, words, file.place)


WHOLE_HINT = "If only these parts are meant, cut them into separate files."


def whole_instead(name: str, parts: int) -> str:
    """The note for several parts of one recording."""
    return f"'{name}' is listed in {parts} {'part' if parts == 1 else 'parts'}; it is read once, as a whole."
