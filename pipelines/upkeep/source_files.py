"""Find songs whose file is gone or was replaced, as far as this machine can see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from pipelines.catalog.manifests.multitracks import stamp_of
from pipelines.catalog.schema import CatalogEntry, entry_from_json, fingerprint
from pipelines.catalog.storage.addresses import MISSING, SourceFile
from pipelines.catalog.storage.files import describe_all
from pipelines.catalog.storage.http import is_http
from pipelines.upkeep.rules.verify_rules import Findings


@dataclass(frozen=True)
class LostSources:
    """Songs whose files are gone or replaced, each as ``<song id>: <address>``."""

    gone: tuple[str, ...]
    replaced: tuple[str, ...]


def lost_sources(songs: pa.Table, catalog: pa.Table) -> LostSources:
    """Songs none of whose files is as it was when it was read. Files on hosts count as present.

    Args:
        songs: ``song_id, uri`` of the tokens.
        catalog: ``song_id, entry``.
    """
    uri_of = dict(zip(songs["song_id"].to_pylist(), songs["uri"].to_pylist(), strict=True))
    files: dict[str, list[CatalogEntry]] = {song: [] for song in uri_of}
    for song, text in zip(catalog["song_id"].to_pylist(), catalog["entry"].to_pylist(), strict=True):
        if song in files:
            files[song].append(entry_from_json(text))
    there = _described(entry for entries in files.values() for entry in entries)
    gone: list[str] = []
    replaced: list[str] = []
    for song, entries in sorted(files.items()):
        if not entries or any(is_http(entry.uri) or _same(entry, there) for entry in entries):
            continue
        name = f"{song}: {uri_of[song]}"
        (replaced if any(_is_there(entry, there) for entry in entries) else gone).append(name)
    return LostSources(tuple(gone), tuple(replaced))


def check_sources(songs: pa.Table, catalog: pa.Table, findings: Findings) -> None:
    """``sources``: the file of each song is there, as it was when it was read; see :func:`lost_sources`."""
    lost = lost_sources(songs, catalog)
    findings.add("sources", [f"gone: {song}" for song in lost.gone])
    findings.add("sources", [f"replaced or written again: {song}" for song in lost.replaced])


def _files(entry: CatalogEntry) -> list[str]:
    return [uri for stem in entry.stems for uri in stem.uris] or [entry.uri]


def _described(entries: Iterable[CatalogEntry]) -> dict[str, SourceFile]:
    """Each file that is not on a host, as it is now."""
    uris = list(dict.fromkeys(uri for entry in entries for uri in _files(entry) if not is_http(uri)))
    return dict(zip(uris, describe_all(uris), strict=True))


def _is_there(entry: CatalogEntry, there: Mapping[str, SourceFile]) -> bool:
    return all(is_http(uri) or there[uri].stamp != MISSING for uri in _files(entry))


def _same(entry: CatalogEntry, there: Mapping[str, SourceFile]) -> bool:
    """Whether a file is as it was when it was read; for given stems, whether they are there."""
    if entry.stems or not _is_there(entry, there):
        return _is_there(entry, there)
    file = there[entry.uri]
    if entry.fingerprint == fingerprint(file.uri, file.size, file.stamp):
        return True
    # The stamp of a multitrack song that has only its mix contains a name relative to its catalog.
    parts = file.uri.split("/")
    names = ("/".join(parts[start:]) for start in range(len(parts)))
    return any(
        entry.fingerprint == fingerprint(file.uri, file.size, stamp_of([replace(file, name=name)])) for name in names
    )
