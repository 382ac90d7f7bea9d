"""Audiocraft's ``data.jsonl(.gz)``, and the JSON description beside each file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from models.errors import StemsError
from pipelines.catalog.manifests.captions import LineError, Words, distinct, json_object, seconds_of, tags_of, text_of
from pipelines.catalog.manifests.entries import Named, entries_of, resolve
from pipelines.catalog.manifests.finding import Finder
from pipelines.catalog.manifests.records import Record, json_lines
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.files import in_parallel, is_remote, read_bytes
from pipelines.catalog.storage.text import MAX_MANIFEST_BYTES, as_text

MANIFEST_NAMES = ("data.jsonl", "data.jsonl.gz")
_TAG_KEYS = ("genre", "moods", "keywords", "instrument")
_NO_TAGS = ("mix", "n/a", "none", "unknown")


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``data.jsonl``: the file, and the name of the JSON that describes it."""

    file: Named
    info: str


def songs(source: Source) -> list[CatalogEntry]:
    """The files of ``data.jsonl(.gz)``, with the descriptions beside them, if any."""
    if not source.manifest:
        own = next((file.uri for name in MANIFEST_NAMES for file in source.files if file.name == name), "")
        if not own:
            raise StemsError(
                f"There is no {MANIFEST_NAMES[0]} in '{source.path}'.", "Name it.", code="missing", field="catalog"
            )
        source = replace(source, given_manifest=own)
    listed = list(read(json_lines(source.text, source.manifest, source.problems), source.problems))
    waits, finder = is_remote(source.folder), Finder(source)

    def described(one: Listed) -> Named:
        said = _read_info(one, source, finder)
        return replace(one.file, words=said.over(one.file.words))

    return entries_of(in_parallel(described, listed) if waits else map(described, listed), source)


def read(records: Iterable[Record], problems: Problems) -> Iterator[Listed]:
    """``path``, ``duration`` and ``info_path``; by default the information lies beside the file, as ``.json``."""
    for record in records:
        name = record.values.get("path")
        if not isinstance(name, str) or not name:
            problems.bad_line(record.place, "names no file", "Give each line a 'path'.")
            continue
        if ".zip:" in name:
            problems.note(record.place, f"'{name}' is in a zip; it is left out.", "Unpack it.")
            continue
        try:
            words = Words(seconds=seconds_of(record.values, "duration"))
            info = text_of(record.values, "info_path") or f"{name.rpartition('.')[0] or name}.json"
        except LineError as error:
            problems.bad_line(record.place, error.what, error.hint)
            continue
        yield Listed(Named(name, words, record.place), info)


def words_of_info(info: Mapping[str, object]) -> Words:
    """Title, caption and tags as audiocraft's music datasets spell them.

    ``title`` or ``name``; ``description``; ``genre``, ``moods``, ``keywords`` and ``instrument`` as tags.
    """
    tags = distinct(tag for key in _TAG_KEYS for tag in tags_of(info.get(key)))
    return Words(
        title=text_of(info, "title", "name"),
        caption=text_of(info, "description"),
        tags=tuple(tag for tag in tags if tag.lower() not in _NO_TAGS),
    )


def _read_info(listed: Listed, source: Source, finder: Finder) -> Words:
    try:
        uri = resolve(listed.info, source)
        data = _bytes(uri, source)
        if data is None and (found := finder.find(listed.info)):
            uri = found.uri
            data = _bytes(uri, source)
        if data is None:  # most often there is none, and none is needed
            return Words()
        return words_of_info(json_object(as_text(data, uri), uri, source.problems))
    except StemsError as error:
        if error.field != "manifest":
            raise
        source.problems.bad_line(f"{listed.info}, line 1", "is not UTF-8 text", error.hint)
    except LineError as error:
        source.problems.bad_line(f"{listed.info}, line 1", error.what, error.hint)
    return Words()


def _bytes(uri: str, source: Source) -> bytes | None:
    try:
        return read_bytes(uri, allow_hosts=source.allow_hosts, max_bytes=MAX_MANIFEST_BYTES)
    except OSError:
        return None
