"""Import a catalog: a folder of audio, or the files that a manifest names."""

from __future__ import annotations

from pathlib import PurePosixPath

from models.errors import StemsError
from pipelines.catalog.captions import (
    MANIFEST_NAMES,
    MANIFEST_SUFFIXES,
    Words,
    normal_name,
    read_manifest,
    read_sidecar,
)
from pipelines.catalog.files import SourceFile, absolute, describe, is_remote, list_folder
from pipelines.catalog.schema import CatalogEntry, fingerprint

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


def import_catalog(path: str, manifest: str = "") -> list[CatalogEntry]:
    """List the songs of a catalog in a stable order (by name; of a manifest alone, in its order).

    Files are not opened: whatever is wrong with them is found by the job that reads them.

    Args:
        path: a folder (every WAV, FLAC, MP3 and OGG file below it), or a manifest (the files that it names,
            relative to its own folder). Local, or ``s3://``.
        manifest: words for the files of the folder, and further files; ``metadata.jsonl``, ``.csv`` or
            ``.parquet`` in the folder is found by itself. Its words go before those of sidecar files.

    Raises:
        StemsError: nothing there, no audio, or a bad manifest line (naming file and line).
    """
    if PurePosixPath(path).suffix.lower() in MANIFEST_SUFFIXES:
        return _from_manifest(path)
    files = list_folder(path)
    manifest = manifest or _find_manifest(files)
    named = read_manifest(manifest) if manifest else {}
    said = {_relative(path, name): (name, words) for name, words in named.items()}
    sidecars = {file.name: file for file in files if file.name.lower().endswith((".json", ".txt"))}
    entries = []
    for file in files:
        if file.name.lower().endswith(AUDIO_SUFFIXES):
            _, words = said.pop(normal_name(file.name), ("", Words()))
            entries.append(_entry(file, words.over(_sidecar(file, sidecars))))
    entries += [_named(path, name, words) for name, words in said.values()]
    if not entries:
        raise StemsError(
            f"There is no audio in '{path}'.",
            f"Give a folder with {', '.join(AUDIO_SUFFIXES)} files.",
            code="empty",
            field="catalog",
        )
    return entries


def _from_manifest(manifest: str) -> list[CatalogEntry]:
    folder = manifest.rpartition("/")[0] or "."
    entries = [_named(folder, name, said) for name, said in read_manifest(manifest).items()]
    if not entries:
        raise StemsError(f"'{manifest}' names no file.", "Give it a line for each song.", field="catalog")
    return entries


def _find_manifest(files: list[SourceFile]) -> str:
    by_name = {file.name: file.uri for file in files}
    return next((by_name[name] for name in MANIFEST_NAMES if name in by_name), "")


def _sidecar(file: SourceFile, sidecars: dict[str, SourceFile]) -> Words:
    stem = file.name[: file.name.rindex(".")]
    found = [sidecars[f"{stem}{suffix}"] for suffix in (".json", ".txt") if f"{stem}{suffix}" in sidecars]
    said = Words()
    for sidecar in found:
        said = said.over(read_sidecar(sidecar.uri))
    return said


def _relative(folder: str, name: str) -> str:
    """A manifest's name as the walk spells it; manifests may also name files by their absolute path."""
    base = folder if is_remote(folder) else absolute(folder)
    return normal_name(name).removeprefix(f"{normal_name(base)}/")


def _named(folder: str, name: str, words: Words) -> CatalogEntry:
    if is_remote(name) or (is_remote(folder) and not name.startswith("/")):
        uri = name if is_remote(name) else f"{folder.rstrip('/')}/{name}"
    else:
        uri = absolute(f"{folder}/{name}" if not name.startswith("/") else name)
    return _entry(describe(uri), words)


def _entry(file: SourceFile, words: Words) -> CatalogEntry:
    title = words.title or PurePosixPath(normal_name(file.name.encode(errors="replace").decode())).stem
    return CatalogEntry(
        uri=file.uri,
        fingerprint=fingerprint(file.uri, file.size, file.stamp),
        title=title,
        caption=words.caption,
        tags=words.tags,
        size=file.size,
    )
