"""Lengths of songs from their files' headers, where the catalog does not state them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from models.audio.files import audio_info, header_info
from models.errors import StemsError
from pipelines.catalog.problems import Problems
from pipelines.catalog.report import sound_file
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.storage.addresses import is_remote, local_path

_WORKERS = min(16, 4 * (os.cpu_count() or 1))


def with_lengths(entries: Sequence[CatalogEntry], problems: Problems) -> list[CatalogEntry]:
    """The entries, with the length that the header of each local file states; remote files are not opened.

    A file whose header cannot be read is noted; missing and empty ones have been.
    """
    with ThreadPoolExecutor(_WORKERS) as pool:
        lengths = list(pool.map(_seconds, entries, chunksize=64))
    measured = []
    for entry, length in zip(entries, lengths, strict=True):
        if isinstance(length, StemsError):
            if length.code in ("unreadable", "truncated"):
                file = sound_file(entry)
                what = length.message.removeprefix(f"'{file}' ")
                problems.note(file, f"the file {what}", length.hint)
            length = 0.0
        measured.append(replace(entry, seconds=length) if length != entry.seconds else entry)
    return measured


def _seconds(entry: CatalogEntry) -> float | StemsError:
    file = sound_file(entry)
    if entry.seconds or entry.size == 0 or is_remote(file):
        return entry.seconds
    try:
        return header_info(local_path(file), name=file).seconds
    except StemsError:
        return _counted(file)


def _counted(file: str) -> float | StemsError:
    """The length of a file whose header alone is not understood: its audio may be whole all the same."""
    try:
        return audio_info(local_path(file), name=file).seconds
    except StemsError as error:
        return error
