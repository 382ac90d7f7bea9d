"""Captions in files beside songs: ``<name>.json`` and ``<name>.txt``; reports those without a song."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from models.errors import StemsError
from pipelines.catalog.manifests.captions import LineError, Words, json_object, one_line, words_of
from pipelines.catalog.manifests.columns import Columns, sidecar_columns
from pipelines.catalog.manifests.names import NameIndex
from pipelines.catalog.problems import Problems
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import SourceFile, is_remote
from pipelines.catalog.storage.files import in_parallel
from pipelines.catalog.storage.text import read_text

SUFFIXES = (".json", ".txt")

_SHOWN = 5
_ABOUT_THE_FOLDER = ("readme", "license", "licence", "notice", "changelog", "copying")
"""Names of text files that say nothing of a song."""


def read_sidecars(audio: Sequence[SourceFile], files: Iterable[SourceFile], source: Source) -> dict[str, Words]:
    """Words from the JSON and text files beside audio files, by the audio's name.

    ``b.wav.txt`` goes before ``b.txt``, and JSON before text. Case and form of Unicode may differ, where it is clear
    which file is meant. Sidecars without a song are noted.
    """
    sidecars = [file for file in files if file.name.lower().endswith(SUFFIXES)]
    beside, orphans = _match(sidecars, audio) if sidecars else ({}, [])
    note_orphans(orphans, source.problems)
    wanted = [sidecar.uri for found in beside.values() for sidecar in found]
    columns = sidecar_columns()

    def read(uri: str) -> Words:
        return _read_sidecar(uri, columns, source.problems, source.allow_hosts)

    unique = list(dict.fromkeys(wanted))
    words = dict(zip(unique, in_parallel(read, unique) if is_remote(source.path) else map(read, unique), strict=True))
    columns.note_unread(source.problems)
    said: dict[str, Words] = {}
    for name, found in beside.items():
        for sidecar in found:
            said[name] = said.get(name, Words()).over(words[sidecar.uri])
    return said


def note_orphans(orphans: Sequence[SourceFile], problems: Problems) -> None:
    """One problem for all JSON and text files that lie beside no song."""
    orphans = [file for file in orphans if not _is_about_the_folder(file.name)]
    if not orphans:
        return
    names = ", ".join(f"'{file.name}'" for file in orphans[:_SHOWN])
    more = f" and {len(orphans) - _SHOWN} more" if len(orphans) > _SHOWN else ""
    one = len(orphans) == 1
    problems.note(
        orphans[0].uri,
        f"{'this file has' if one else f'{len(orphans)} files have'} no audio of that name beside, and "
        f"{'is' if one else 'are'} not read: {names}{more}.",
        "Name each after its song, as in song.txt beside song.wav.",
    )


def _match(
    sidecars: Iterable[SourceFile], audio: Iterable[SourceFile]
) -> tuple[dict[str, list[SourceFile]], list[SourceFile]]:
    """Sidecars by the audio's name, the nearest first; and those that belong to none."""
    whole = NameIndex((file.name, file) for file in audio)
    stems = NameIndex((_stem(file.name), file) for file in audio)
    ranked: dict[str, list[tuple[tuple[int, bool, bool, str], SourceFile]]] = defaultdict(list)
    orphans = []
    for sidecar in sidecars:
        base, text = _stem(sidecar.name), sidecar.name.lower().endswith(".txt")
        found, general = whole.find(base), False
        if not found:
            found, general = stems.find(base), True
        for file in found:
            apart = base not in (file.name, _stem(file.name))
            ranked[file.name].append(((int(general), text, apart, sidecar.name), sidecar))
        if not found:
            orphans.append(sidecar)
    return {
        name: [sidecar for _, sidecar in sorted(found, key=lambda f: f[0])] for name, found in ranked.items()
    }, orphans


def _read_sidecar(uri: str, columns: Columns, problems: Problems, allow_hosts: Collection[str]) -> Words:
    """Words from ``<name>.json`` (``{"caption", "tags", "title", "seconds"}``) or ``<name>.txt`` (the caption)."""
    try:
        text = read_text(uri, allow_hosts)
    except StemsError as error:
        problems.fatal(error)
        return Words()
    if not uri.lower().endswith(".json"):
        return Words(caption=one_line(text))
    values: Mapping[str, object] = json_object(text, uri, problems)
    try:
        return words_of(columns.read(values, f"{uri}, line 1"))
    except LineError as error:
        problems.bad_line(f"{uri}, line 1", error.what, error.hint)
        return Words()


def _stem(name: str) -> str:
    return name[: name.rindex(".")]


def _is_about_the_folder(name: str) -> bool:
    return name.rpartition("/")[2].lower().startswith(_ABOUT_THE_FOLDER)
