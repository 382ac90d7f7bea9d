"""A file's bytes, read where they are asked for."""

from __future__ import annotations

import io
import os
from pathlib import Path


class FileView:
    """A file that is sliced like bytes; only what is asked for is read.

    Not a memory map: a file that is cut short while it is read would end the process.
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
        """Let go of the file."""
        self._file.close()


View = bytes | FileView
"""Bytes, or a file that can be sliced like them."""


class Memory(io.BytesIO):
    """Bytes as a file. A lying header sends the decoder to impossible places: it stays where it is."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go there, if there is such a place; return where it is."""
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()
