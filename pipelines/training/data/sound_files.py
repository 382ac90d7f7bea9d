"""Audio files for training, on a disk or in an object store; the latter are copied on first use."""

from __future__ import annotations

import hashlib
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from models.audio.files import audio_info, header_info
from models.errors import StemsError
from pipelines.catalog.storage.files import SourceFile, list_folder, read_bytes, write_bytes
from pipelines.catalog.storage.stores import Store

SUFFIXES = (".flac", ".wav")
"""Suffixes of stem files, in order of preference."""

_HEAD = 2**16
"""Enough bytes for a header without pictures."""


@dataclass(frozen=True)
class SoundFile:
    """One audio file.

    Args:
        path: its path; for a file in a store, the path of its copy.
        source: its entry in the store's listing; None for a file on a disk.
    """

    path: Path
    source: SourceFile | None = None

    @property
    def name(self) -> str:
        """Its path or address, for messages."""
        return str(self.path) if self.source is None else self.source.uri

    def here(self) -> Path:
        """Its local path, after copying it if there is no copy yet; the copy appears complete or not at all.

        Raises:
            StemsError: ``missing``. Unreachable: the store does not answer.
        """
        if self.source is not None and not self.path.exists():
            write_bytes(str(self.path), self._fetch(self.source))
        return self.path

    def seconds(self) -> float:
        """Its length by its header; of a file in a store, only the header is read if that suffices.

        Raises:
            StemsError: the header cannot be read. Unreachable: the store does not answer.
        """
        if self.source is None or self.path.exists():
            return audio_info(self.path, name=self.name).seconds
        try:
            return self._stated(self.source)
        except StemsError as error:
            if error.code != "unreadable":
                raise
            return audio_info(self.here(), name=self.name).seconds

    def _stated(self, source: SourceFile) -> float:
        """Its length by its first bytes, in a sparse file of its size, which some formats compare with the header."""
        with tempfile.NamedTemporaryFile(suffix=self.path.suffix) as sparse:
            if source.size:
                sparse.write(self._fetch(source, head=True))
            sparse.truncate(source.size)
            return header_info(sparse.name, name=self.name).seconds

    def _fetch(self, source: SourceFile, *, head: bool = False) -> bytes:
        try:
            return Store(source.uri).head(_HEAD) if head else read_bytes(source.uri)
        except OSError as error:
            raise StemsError(
                f"'{source.uri}' cannot be fetched ({error}).",
                "Check that it still exists and is readable.",
                code="missing",
            ) from error


def songs_in_store(root: str, copies: Path | None) -> dict[str, dict[str, SoundFile]]:
    """The files ``<root>/<song>/<file>``, by song and file name; empty if there are none.

    Args:
        root: address of a folder of songs.
        copies: local folder for copies; None uses the system's temporary folder. A file that changed in the store
            gets a new copy.
    """
    copies = copies or Path(tempfile.gettempdir()) / "stems"
    try:
        listed = list_folder(root)
    except StemsError as error:
        if error.code != "missing":
            raise
        return {}
    songs: defaultdict[str, dict[str, SoundFile]] = defaultdict(dict)
    for file in listed:
        song, _, name = file.name.partition("/")
        if name and "/" not in name:
            key = hashlib.blake2b(f"{file.uri}\0{file.size}\0{file.stamp}".encode(), digest_size=12).hexdigest()
            songs[song][name] = SoundFile(copies / f"{key}{Path(name).suffix}", file)
    return {song: songs[song] for song in sorted(songs)}
