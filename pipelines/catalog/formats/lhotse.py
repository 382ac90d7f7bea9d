"""Lhotse manifests: recordings with supervisions beside them, or cuts, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from models.errors import StemsError
from pipelines.catalog.formats.nemo import WHOLE_HINT, whole_instead
from pipelines.catalog.manifests.captions import NO_WORDS, LineError, Words, seconds_of, text_of, words_of
from pipelines.catalog.manifests.entries import Named, entries_of
from pipelines.catalog.manifests.records import Record, json_lines
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.files import exists
from pipelines.catalog.storage.http import is_http
from pipelines.catalog.storage.text import read_text

_WHOLE_WITHIN_S = 0.05


def songs(source: Source) -> list[CatalogEntry]:
    """The recordings of a manifest, or of every manifest of recordings or cuts in the folder."""
    if source.manifest:
        return entries_of(_read_manifest(source), source)
    wanted = [file.uri for file in source.files if is_lhotse(file.name)]
    if not wanted:
        raise StemsError(
            f"There are no recordings in '{source.path}'.", "Name the manifest itself.", code="empty", field="catalog"
        )
    sources = [replace(source, given_manifest=uri) for uri in wanted]
    return entries_of(chain.from_iterable(map(_read_manifest, sources)), source)


def is_lhotse(name: str) -> bool:
    """Whether a file is named as manifests of recordings or cuts are."""
    name = name.rsplit("/", 1)[-1].lower()
    return name.endswith((".jsonl", ".jsonl.gz")) and ("recordings" in name or "cuts" in name)


def _read_manifest(source: Source) -> Iterator[Named]:
    file, problems = source.manifest, source.problems
    said: Mapping[str, Words] = {}
    folder, _, name = file.rpartition("/")
    beside = f"{folder}/{name.replace('recordings', 'supervisions')}" if folder else name
    if "recordings" in name and not is_http(file) and exists(beside):
        said = read_supervisions(json_lines(read_text(beside, source.allow_hosts), beside, problems), problems)
    return read(json_lines(source.text, file, problems), said, problems)


@dataclass
class _Recording:
    name: str
    place: str
    words: Words
    parts: int = 0


def read(records: Iterable[Record], said: Mapping[str, Words], problems: Problems) -> Iterator[Named]:
    """A file for each recording, whether it stands by itself or in cuts; ``said`` are words by recording.

    Parts of a recording (cuts) are taken once, whole, which is noted; what is no single file (commands, arrays
    inside the manifest, padding, mixed cuts, one file a channel) is left out, which is noted too.
    """
    recordings: dict[str, _Recording] = {}
    for record in records:
        try:
            _take(record, said, recordings)
        except LineError as error:
            problems.bad_line(record.place, error.what, error.hint)
        except _LeftOutError as error:
            problems.note(record.place, f"{error}; it is left out.", "Write its audio to a file.")
    for recording in recordings.values():
        if recording.parts:
            problems.note(recording.place, whole_instead(recording.name, recording.parts), WHOLE_HINT)
        yield Named(recording.name, recording.words, recording.place)


def read_supervisions(records: Iterable[Record], problems: Problems) -> dict[str, Words]:
    """Words by recording: of several supervisions, those of the longest."""
    longest: dict[str, tuple[float, Words]] = {}
    for record in records:
        try:
            recording, seconds = text_of(record.values, "recording_id"), seconds_of(record.values, "duration")
            words = _words(record.values)
        except LineError as error:
            problems.bad_line(record.place, error.what, error.hint)
            continue
        if recording not in longest or seconds > longest[recording][0]:
            longest[recording] = (seconds, words)
    return {recording: words for recording, (_, words) in longest.items()}


class _LeftOutError(Exception):
    """A recording that is not a single file."""


def _take(record: Record, said: Mapping[str, Words], recordings: dict[str, _Recording]) -> None:
    cut = record.values
    if "tracks" in cut:
        raise _LeftOutError("a mixed cut is not a file")
    if cut.get("type") == "PaddingCut":
        return
    inner = cut.get("recording")
    recording = inner if isinstance(inner, dict) else cut
    if "sources" not in recording:
        raise LineError("is neither a recording nor a cut of one", "Name a manifest of recordings or cuts.")
    name, key, seconds = _file_of(recording), text_of(recording, "id"), seconds_of(recording, "duration")
    words = said.get(key, NO_WORDS) if recording is cut else _first_supervision(cut).over(_words(cut))
    taken = recordings.setdefault(key or name, _Recording(name, record.place, NO_WORDS))
    taken.words = taken.words.over(replace(words, seconds=seconds))
    if recording is not cut and _is_part(cut, seconds):
        taken.parts += 1


def _file_of(recording: Mapping[str, object]) -> str:
    sources = recording.get("sources")
    if not isinstance(sources, list) or not sources or not all(isinstance(source, dict) for source in sources):
        raise LineError("has a recording without sources", "Correct or remove the line.")
    if len(sources) > 1:
        raise _LeftOutError(f"the recording is spread over {len(sources)} files")
    kind, name = sources[0].get("type"), sources[0].get("source")
    if kind not in ("file", "url"):
        raise _LeftOutError(f"the recording is of the type '{kind}', which is not read")
    if not isinstance(name, str):
        raise LineError("names no file", "Give each source its path.")
    return name


def _words(values: Mapping[str, object]) -> Words:
    """Words of a cut or supervision, those under ``custom`` first."""
    custom = values.get("custom")
    own = words_of(custom) if isinstance(custom, dict) else NO_WORDS
    return replace(own.over(words_of(values)), seconds=0.0)


def _first_supervision(cut: Mapping[str, object]) -> Words:
    supervisions = cut.get("supervisions")
    first = supervisions[0] if isinstance(supervisions, list) and supervisions else None
    return _words(first) if isinstance(first, dict) else NO_WORDS


def _is_part(cut: Mapping[str, object], whole: float) -> bool:
    start, seconds = seconds_of(cut, "start"), seconds_of(cut, "duration")
    return start > _WHOLE_WITHIN_S or (0 < seconds < whole - _WHOLE_WITHIN_S)
