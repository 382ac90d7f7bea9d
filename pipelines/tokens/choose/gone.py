"""Files that the table has and the catalog no longer lists: deleted, or replaced by another recording."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source, parent
from pipelines.catalog.storage.addresses import absolute, is_remote, local_name
from pipelines.catalog.storage.http import is_http
from pipelines.tokens.choose.table_state import FileFacts, TableState


@dataclass(frozen=True)
class Coverage:
    """The addresses that a catalog covers: if it does not list one of them, there is no such file.

    Args:
        folder: folder of the catalog.
        folders: folders that hold a file that a manifest lists.
        whole: whether the catalog lists all files below the folder, not only those that a manifest names.
    """

    folder: str
    folders: frozenset[str]
    whole: bool

    def lists(self, uri: str) -> bool:
        """Whether the file would be listed if it were there."""
        place = local_name(uri)
        below = place.startswith(f"{self.folder}/")
        return (below and (self.whole or _deleted(uri))) or parent(place) in self.folders

    def lacks(self, uri: str) -> bool:
        """Whether the file is gone, as far as this machine can say without asking a store."""
        return self.lists(uri) and (self.whole or _deleted(uri))


def coverage(path: str, manifest: str, entries: Iterable[CatalogEntry]) -> Coverage:
    """The coverage of a catalog that was read from a folder, a manifest, or both."""
    source = Source(path, manifest)
    folder = source.folder if is_remote(source.folder) else absolute(source.folder)
    folders = frozenset() if source.is_folder else frozenset(parent(local_name(entry.uri)) for entry in entries)
    return Coverage(folder.rstrip("/"), folders, source.is_folder)


def gone_and_replaced(
    covered: Coverage, entries: Sequence[CatalogEntry], state: TableState, facts: Mapping[str, FileFacts]
) -> tuple[list[str], list[str]]:
    """Addresses of files whose songs are in no listed file: files not listed any more, and files with another song.

    A song that was moved, renamed or saved again is not lost.

    Args:
        covered: by the catalog.
        entries: of the catalog.
        state: of the table.
        facts: measurements of all readable files, by fingerprint.
    """
    listed = {entry.uri: entry for entry in entries}
    fingerprints = {entry.fingerprint for entry in entries}
    songs = {facts[name].song_id for name in fingerprints if name in facts}
    gone, replaced = set(), set()
    for fingerprint, file in state.files.items():
        if fingerprint in fingerprints or fingerprint not in state.facts:
            continue
        if state.facts[fingerprint].song_id in songs:
            continue
        if file.uri in listed and (listed[file.uri].size or is_http(file.uri)):
            replaced.add(file.uri)
        elif file.uri in listed or covered.lists(file.uri):
            gone.add(file.uri)
    return sorted(gone), sorted(replaced)


def no_longer_aside(covered: Coverage, entries: Collection[CatalogEntry], state: TableState) -> set[str]:
    """Fingerprints of files in the quarantine that were replaced or deleted since."""
    fingerprints, uris = {entry.fingerprint for entry in entries}, {entry.uri for entry in entries}
    return {
        fingerprint
        for fingerprint, uri in state.aside.items()
        if fingerprint not in fingerprints and (uri in uris or covered.lacks(uri))
    }


def _deleted(uri: str) -> bool:
    return not is_remote(uri) and not Path(local_name(uri)).exists()
