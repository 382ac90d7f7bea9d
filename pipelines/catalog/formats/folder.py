"""A folder of audio at any depth, with words in sidecar files, or in a manifest of the folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from pipelines.catalog.addresses import SourceFile, absolute, is_remote
from pipelines.catalog.captions import Words, read_sidecar
from pipelines.catalog.files import in_parallel
from pipelines.catalog.formats import manifest
from pipelines.catalog.named import AUDIO_SUFFIXES, Named, entries_of, entry_of, normal_name
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source

MANIFEST_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_SIDECARS = (".json", ".txt")
_KNOWN = (*AUDIO_SUFFIXES, *_SIDECARS, ".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".md", ".jpg", ".png", ".pdf")


def songs(source: Source) -> list[CatalogEntry]:
    """Every audio file of the folder, by name; then files that only its manifest names, in its order."""
    files = source.files
    said = {_relative(source.folder, named.name): named for named in said_of(source)}
    audio = [file for file in files if file.name.lower().endswith(AUDIO_SUFFIXES)]
    beside = read_sidecars(audio, files, source)
    entries = []
    for file in audio:
        named = said.pop(normal_name(file.name), None)
        words = beside.get(file.name, Words())
        entries.append(entry_of(file, named.words.over(words) if named else words, source.problems))
    _note_unknown(files, source.problems)
    return entries + entries_of(said.values(), source)


def said_of(source: Source) -> list[Named]:
    """What the folder's manifest says: the one that was given, or ``metadata.*`` in the folder."""
    by_name = {file.name: file.uri for file in source.files}
    own = next((by_name[name] for name in MANIFEST_NAMES if name in by_name), "")
    if not (source.given_manifest or own):
        return []
    with_manifest = source if source.given_manifest else replace(source, given_manifest=own)
    return list(manifest.read(manifest.records_of(with_manifest), source.problems))


def read_sidecars(audio: Sequence[SourceFile], files: Iterable[SourceFile], source: Source) -> dict[str, Words]:
    """Words from the JSON and text files beside audio files, by the audio's name."""
    sidecars = {file.name: file.uri for file in files if file.name.lower().endswith(_SIDECARS)}
    wanted = [uri for file in audio for uri in _beside(file, sidecars)] if sidecars else []

    def read(uri: str) -> Words:
        return read_sidecar(uri, source.problems, source.allow_hosts)

    waits = is_remote(source.path)
    found = dict(zip(wanted, in_parallel(read, wanted) if waits else map(read, wanted), strict=True))
    words: dict[str, Words] = {}
    for file in audio if found else ():
        for uri in _beside(file, sidecars):
            words[file.name] = words.get(file.name, Words()).over(found[uri])
    return words


def _beside(file: SourceFile, sidecars: Mapping[str, str]) -> list[str]:
    stem = file.name[: file.name.rindex(".")]
    return [sidecars[f"{stem}{suffix}"] for suffix in _SIDECARS if f"{stem}{suffix}" in sidecars]


def _relative(folder: str, name: str) -> str:
    """A manifest's name as the walk spells it; manifests may also name files by their absolute path."""
    base = folder if is_remote(folder) else absolute(folder)
    return normal_name(name).removeprefix(f"{normal_name(base)}/")


def _note_unknown(files: Iterable[SourceFile], problems: Problems) -> None:
    """One problem for each kind of file that is neither read nor known to be no audio."""
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
            f"If it is audio, convert it to {', '.join(AUDIO_SUFFIXES)}.",
        )
