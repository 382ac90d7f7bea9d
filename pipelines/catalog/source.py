"""The source of a catalog: a folder, a manifest, or both."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urlsplit

from pipelines.catalog.problems import Problems
from pipelines.catalog.storage.addresses import SourceFile
from pipelines.catalog.storage.files import is_remote, list_folder, local_path
from pipelines.catalog.storage.http import is_http
from pipelines.catalog.storage.text import read_text

MANIFEST_SUFFIXES = (".jsonl", ".csv", ".parquet", ".json", ".tsv")


@dataclass(frozen=True)
class Source:
    """A source of songs. Everything is read on demand, and only once.

    Args:
        path: a folder, or a manifest.
        given_manifest: a manifest beside the folder; empty without.
        allow_hosts: hosts that may be read from.
        problems: where readers note what is wrong.
    """

    path: str
    given_manifest: str = ""
    allow_hosts: tuple[str, ...] = ()
    problems: Problems = field(default_factory=Problems)

    @cached_property
    def is_folder(self) -> bool:
        """Whether ``path`` is a folder: local ones are looked at, of others the name decides."""
        if is_remote(self.path):
            return not is_http(self.path) and not has_suffix(self.path, MANIFEST_SUFFIXES)
        return local_path(self.path).is_dir() or not has_suffix(self.path, MANIFEST_SUFFIXES)

    @property
    def manifest(self) -> str:
        """The manifest that was named; empty for a folder alone."""
        return self.given_manifest or ("" if self.is_folder else self.path)

    @property
    def folder(self) -> str:
        """What the names in the manifest are relative to: the folder, or without one the manifest's."""
        return self.path if self.is_folder else parent(self.path)

    @cached_property
    def files(self) -> list[SourceFile]:
        """Every file of the folder, sorted by name."""
        return list_folder(self.path)

    @cached_property
    def text(self) -> str:
        """The manifest as text."""
        return read_text(self.manifest, self.allow_hosts)


def parent(uri: str) -> str:
    """The folder of a file, as it is spelled; ``.`` for a bare name."""
    if is_http(uri):
        uri = urlsplit(uri)._replace(query="", fragment="").geturl()
    return uri.rpartition("/")[0] or ("/" if uri.startswith("/") else ".")


def has_suffix(uri: str, suffixes: tuple[str, ...]) -> bool:
    """Whether a name ends in one of them, or in one of them and ``.gz``."""
    return suffix(uri).removesuffix(".gz").endswith(suffixes)


def suffix(uri: str) -> str:
    """The end of a name from its first dot that counts, in lower case: ``.wav``, ``.jsonl.gz``; empty without."""
    name, last = posixpath.splitext((urlsplit(uri).path if is_http(uri) else uri).rpartition("/")[2].lower())
    return posixpath.splitext(name)[1] + last if last == ".gz" else last
