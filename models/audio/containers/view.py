"""A file's bytes, read on demand."""

from __future__ import annotations

import io
import os
from pathlib import Path


class FileView:
    """A file that is sliced like bytes; only the slices are read.

    Not a memory map: truncating the file during a read would kill the process.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = os.fstat(self._file.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        return os.pread(self._file.fileno(), max(0, stop - start), start)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


View = bytes | FileView
"""Bytes, or a file that is sliced like bytes."""


class Memory(io.BytesIO):
    """Bytes as a file. Seeks to impossible places, as wrong headers cause them, are ignored."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seek, if the position exists; returns the resulting position."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()
