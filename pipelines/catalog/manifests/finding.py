"""Find files whose names in a manifest are spelled differently from those on disk or in the store."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from urllib.parse import quote

from pipelines.catalog.manifests.names import NameIndex, is_absolute, normal_name
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import absolute, is_remote, local_name, local_uri
from pipelines.catalog.storage.http import is_http
from pipelines.catalog.storage.stores import Store


@dataclass(frozen=True, slots=True)
class Found:
    """A file, and whether only the end of its name agrees: the rest is of a machine where it lay before."""

    uri: str
    by_its_end: bool = False


class Finder:
    """Finds files for names that lead to none, in the other form of Unicode, with ``\\`` between folders, in other
    case, or, where a path begins at a root, by the end of it below the source's folder.

    Folders are listed once each. Files over HTTP cannot be listed: only the kind of slash is tried there.
    """

    def __init__(self, source: Source) -> None:
        self._folder, self._from_elsewhere = source.folder.rstrip("/") or "/", is_remote(source.manifest)
        self._listed: dict[str, NameIndex[str]] = {}
        self._lock = threading.Lock()

    def find(self, name: str) -> Found | None:
        """The one file that is meant; None without one, and where there are several."""
        plain = normal_name(local_name(name) if name.startswith("file://") else name)
        if is_http(self._folder) or is_http(plain):
            return None if plain == name or is_http(plain) else Found(f"{self._folder}/{quote(plain)}")
        if is_remote(plain):
            scheme, _, path = plain.partition("://")
            bucket, _, key = path.partition("/")
            return _exactly(self._walk(f"{scheme}://{bucket}", key.split("/")))
        if not is_absolute(plain):
            return _exactly(self._relative(plain))
        parts = [part for part in plain.split("/") if part]
        if not (self._from_elsewhere or is_remote(self._folder)) and (uri := self._walk("/", parts)):
            return Found(uri)
        tails = (self._walk(self._folder, parts[start:]) for start in range(1, len(parts)))
        return next((Found(uri, by_its_end=True) for uri in tails if uri), None)

    def _relative(self, name: str) -> str | None:
        if is_remote(self._folder):
            return self._walk(self._folder, name.split("/"))
        folder = absolute(self._folder)
        path = absolute(f"{folder}/{name}")
        inside = path.removeprefix(f"{folder.rstrip('/')}/")
        if inside != path:
            return self._walk(folder, inside.split("/"))
        return None if self._from_elsewhere else self._walk("/", path.split("/")[1:])

    def _walk(self, folder: str, parts: list[str]) -> str | None:
        at = absolute(folder) if not is_remote(folder) else folder
        found = self._way(at, parts)
        return found if found is None or is_remote(folder) else local_uri(found)

    def _way(self, folder: str, parts: list[str]) -> str | None:
        """Where a way leads: by names as they are spelled, else by the only others that lead to a file."""
        there = f"{folder.rstrip('/')}/{parts[0]}"
        if len(parts) == 1:
            if not is_remote(folder) and os.path.lexists(there):
                return there
            found = self._children(folder).find(parts[0])
            return f"{folder.rstrip('/')}/{found[0]}" if len(found) == 1 else None
        if not is_remote(folder) and os.path.isdir(there) and (way := self._way(there, parts[1:])):  # noqa: PTH112
            return way
        steps = (f"{folder.rstrip('/')}/{name}" for name in self._children(folder).alike(parts[0]))
        ways = {way for step in steps if (way := self._way(step, parts[1:]))}
        return ways.pop() if len(ways) == 1 else None

    def _children(self, folder: str) -> NameIndex[str]:
        with self._lock:
            if folder not in self._listed:
                self._listed[folder] = NameIndex((name, name) for name in sorted(_names(folder)))
            return self._listed[folder]


def _names(folder: str) -> list[str]:
    if is_remote(folder):
        return [path.rstrip("/").rsplit("/", 1)[-1] for path in Store(folder).children()]
    try:
        return os.listdir(folder)  # noqa: PTH208 - names that are not UTF-8 pass through os unharmed
    except OSError:
        return []


def _exactly(uri: str | None) -> Found | None:
    return Found(uri) if uri else None
