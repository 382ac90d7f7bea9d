"""A folder of audio at any depth, with captions in sidecar files or in manifests of its folders."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from models.audio.formats import READ_SUFFIXES, is_audio_name, listed_suffixes
from pipelines.catalog.formats import manifest
from pipelines.catalog.manifests.captions import Words
from pipelines.catalog.manifests.entries import Named, entries_of, entry_of, note_ends, note_named_before
from pipelines.catalog.manifests.names import NameIndex, is_absolute, normal_name
from pipelines.catalog.manifests.sidecars import SUFFIXES, read_sidecars
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source, has_suffix
from pipelines.catalog.storage.addresses import SourceFile, absolute, is_remote, local_path

MANIFEST_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.parquet")
_TABLES = (".jsonl", ".csv", ".tsv", ".parquet")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".pdf")
_LISTS = (".xml", ".plist", ".itl", ".m3u", ".m3u8", ".cue", ".srt", ".vtt", ".lrc", ".nfo", ".log", ".html", ".md")
_NO_AUDIO = (*_PICTURES, *_LISTS, ".gz", ".ini", ".db")
_KNOWN = (*READ_SUFFIXES, *SUFFIXES, *_TABLES, *_NO_AUDIO)
_SHOWN = 3


def songs(source: Source) -> list[CatalogEntry]:
    """Every audio file of the folder, by name; then files that only its manifests name, in their order."""
    files = source.files
    audio = [file for file in files if is_audio_name(file.name)]
    said, others = _by_file(said_of(source), audio, source)
    beside = read_sidecars(audio, files, source)
    entries = []
    for file in audio:
        words = beside.get(file.name, Words())
        words = said[file.name].words.over(words) if file.name in said else words
        entries.append(entry_of(file, words, source.problems))
    _note_unknown(files, source.problems)
    return entries + entries_of(others, source)


def said_of(source: Source) -> list[Named]:
    """Entries of the folder's manifests: the given one, or ``metadata.*`` in the folder and its subfolders.

    Names in a manifest are relative to its folder. Tables that are not read are noted.
    """
    tables = {file.name: file.uri for file in source.files if has_suffix(file.name, _TABLES)}
    own = [] if source.given_manifest else sorted(_own(tables), key=lambda name: (-name.count("/"), name))
    given = source.given_manifest if is_remote(source.given_manifest) else absolute(source.given_manifest)
    _note_tables([name for name, uri in tables.items() if name not in own and uri != given], own, source, tables)
    if source.given_manifest:
        return list(manifest.read(manifest.records_of(source), source.problems))
    return [
        named
        for name in own
        for named in _below(name.rpartition("/")[0], replace(source, given_manifest=tables[name]))
    ]


def _own(tables: Iterable[str]) -> Iterator[str]:
    """The manifest of each folder that has one: of several, the first kind in the order of their names."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in tables:
        folders[name.rpartition("/")[0]].append(name)
    for inside in folders.values():
        kinds = {_manifest_name(name): name for name in sorted(inside)}
        yield from [kinds[name] for name in MANIFEST_NAMES if name in kinds][:1]


def _manifest_name(name: str) -> str:
    return name.rpartition("/")[2].lower().removesuffix(".gz")


def _below(folder: str, source: Source) -> Iterator[Named]:
    """Entries of a manifest in this folder, with names relative to the source's folder."""
    for named in manifest.read(manifest.records_of(source), source.problems):
        plain = normal_name(named.name)
        relative = folder and not (is_absolute(plain) or "://" in plain or plain.startswith("~/"))
        yield replace(named, name=f"{folder}/{named.name.strip()}") if relative else named


def _by_file(
    said: Iterable[Named], audio: Iterable[SourceFile], source: Source
) -> tuple[dict[str, Named], list[Named]]:
    """Entries by name for the files of the folder, and the entries of other files."""
    index = NameIndex((file.name, file) for file in audio)
    found: dict[str, Named] = {}
    others, by_end = [], []
    for named in said:
        name = relative_name(source.folder, named.name)
        match = index.find(name) or index.find(_resolved(source.folder, name))
        if not match and _is_of_elsewhere(name):
            match = next(filter(None, map(index.find, _tails(name))), [])
            by_end += [(named.name, file) for file in match[:1]]
        if not match:
            others.append(named)
        else:
            note_named_before(named, found.setdefault(match[0].name, named), source.problems)
    note_ends(by_end, source)
    return found, others


def relative_name(folder: str, name: str) -> str:
    """A manifest's name as the walk spells it; manifests may also name files by their absolute path."""
    base = folder if is_remote(folder) else absolute(folder)
    if name.startswith("file://"):
        name = str(local_path(name))
    elif name.startswith("~/") and not is_remote(folder):
        name = os.path.expanduser(name)  # noqa: PTH111 - a name, which no Path changes
    return normal_name(name).removeprefix(f"{normal_name(base)}/")


def _resolved(folder: str, name: str) -> str:
    """A local absolute path by the folder that it leads to, relative to where the source's folder leads."""
    if is_remote(folder) or not name.startswith("/"):
        return name
    return os.path.realpath(name).removeprefix(f"{os.path.realpath(absolute(folder))}/")


def _is_of_elsewhere(name: str) -> bool:
    """Whether an absolute path does not exist on this machine."""
    return is_absolute(name) and not os.path.lexists(name)


def _tails(name: str) -> Iterator[str]:
    """The ends of a path, the longest first."""
    parts = [part for part in name.split("/") if part]
    return ("/".join(parts[start:]) for start in range(1, len(parts)))


def _note_tables(unread: Collection[str], own: Sequence[str], source: Source, tables: dict[str, str]) -> None:
    """One problem for unread tables that may hold captions."""
    if not unread:
        return
    names = sorted(unread)
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    instead = source.given_manifest or ", ".join(f"'{name}'" for name in own[:_SHOWN])
    beside = f"; {instead} is read" if instead else ""
    source.problems.note(
        tables[names[0]],
        f"{shown}{more} {'is' if len(names) == 1 else 'are'} not read{beside}.",
        f"If it holds captions, give it as the manifest, or rename it to {MANIFEST_NAMES[1]}; one per folder.",
    )


def _note_unknown(files: Iterable[SourceFile], problems: Problems) -> None:
    """One problem per suffix of files that may be unsupported audio."""
    left: Counter[str] = Counter()
    example: dict[str, str] = {}
    for file in files:
        if not file.name.lower().endswith(_KNOWN):
            suffix = PurePosixPath(file.name).suffix.lower()
            left[suffix] += 1
            example.setdefault(suffix, file.uri)
    for suffix, count in left.items():
        kind = f"with the suffix {suffix}" if suffix else "without a suffix"
        problems.note(
            example[suffix],
            f"files {kind} are not read; there are {count}.",
            f"If it is audio, convert it to one of {listed_suffixes()}.",
        )
