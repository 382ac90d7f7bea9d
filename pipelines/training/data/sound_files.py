"""Files that training reads, on a disk or in an object store; the latter are copied near when first needed."""

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
"""Of a song's stems; the first is taken where there are both."""

_HEAD = 2**16
"""Bytes in which a header fits, but for one with pictures."""


@dataclass(frozen=True)
class SoundFile:
    """One file of sound.

    Args:
        path: where it is; or, in a store, where its copy is kept.
        source: its entry in the store's listing; None for a file on a disk.
    """

    path: Path
    source: SourceFile | None = None

    @property
    def name(self) -> str:
        """What to call it: its path or address."""
        return str(self.path) if self.source is None else self.source.uri

    def here(self) -> Path:
        """A path to read it at, after copying it there where nobody has yet; the copy appears whole or not at all.

        Raises:
            StemsError: ``missing``. Unreachable: the store stays away.
        """
        if self.source is not None and not self.path.exists():
            write_bytes(str(self.path), self._fetch(self.source))
        return self.path

    def seconds(self) -> float:
        """Its length, by its header, which is all that is read of a file in a store where that will do.

        Raises:
            StemsError: the header cannot be read. Unreachable: the store stays away.
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
        """Its length by its first bytes, followed by nothing up to its size, by which some headers are judged."""
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
                "Check that it is still there, and may be read.",
                code="missing",
            ) from error


def songs_in_store(root: str, copies: Path | None) -> dict[str, dict[str, SoundFile]]:
    """The files ``<root>/<song>/<file>``, by song and file name; none where there is nothing.

    Args:
        root: address of a folder of songs.
        copies: local folder for copies; below the system's temporary one where it is None. A file that changes in
            the store is another file here.
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
