"""Separated stems on disk: one folder a song, one FLAC a stem, complete or absent."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from models.audio import Audio, write_audio

_TITLE_BYTES = 100


def write_stems(root: Path, title: str, song_id: str, stems: Mapping[str, Audio]) -> Path:
    """Write ``<root>/<title>-<song id>/<stem>.flac`` and return the song's folder; nothing happens where it is.

    The folder is written aside and renamed, so a song is there with all its stems or not at all. Names that
    start with a dot are unfinished work.
    """
    folder = root / f"{_file_name(title)}-{song_id[:12]}"
    if folder.exists():
        return folder
    partial = root / f".{folder.name}.{os.getpid()}.partial"
    try:
        for name, audio in stems.items():
            write_audio(partial / f"{name}.flac", audio)
        partial.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another worker was quicker
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _file_name(title: str) -> str:
    """A title as a file name on any system: no separators, reserved signs or leading dots."""
    kept = "".join(
        c if c.isalnum() or c in " -_().," or unicodedata.category(c) == "Mn" else "_" for c in title.strip()
    )
    return kept.encode()[:_TITLE_BYTES].decode(errors="ignore").strip(" .") or "song"
