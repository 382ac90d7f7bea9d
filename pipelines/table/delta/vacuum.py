"""Data files of a Delta table that no version needs any more.

Delta lists them. Its own vacuum would also delete files that a writer has just written and is about to commit, and
would add two versions without any change.
"""

from __future__ import annotations

import json
import math
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from pyarrow.fs import FileInfo, FileSelector

from pipelines.table.delta.data_files import Version

WRITING_S = 3600.0
"""Seconds after it was written in which a file that no version names may still be committed."""

_AT_A_TIME = 16

_DATA_FILE = re.compile(r"part-[\w.-]*[0-9a-f]{8}-[0-9a-f]{4}-[\w.-]*\.parquet")
"""Names that Delta's writers give to data files; other files in the folder are left alone."""


def unneeded_files(version: Version, hours: float) -> list[str]:
    """Files that no version of the last hours needs: those of older versions, and those of killed writers."""
    listed: list[str] = version.table.vacuum(
        retention_hours=math.ceil(hours), dry_run=True, enforce_retention_duration=False, full=True
    )
    listed = [path for path in listed if _DATA_FILE.fullmatch(path.rpartition("/")[2])]
    infos = version.filesystem.get_file_info(listed)
    young = {info.path for info in infos if _is_young(info)}
    return sorted(set(listed) - (young - _named_lately(version) if young else set()))


def delete_files(version: Version, paths: list[str]) -> None:
    """Delete files of a table's folder."""

    def delete(path: str) -> None:
        with suppress(FileNotFoundError):  # another vacuum was quicker
            version.filesystem.delete_file(path)

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        list(pool.map(delete, paths))


def _is_young(info: FileInfo) -> bool:
    return info.mtime_ns is not None and time.time() - info.mtime_ns / 1e9 < WRITING_S


def _named_lately(version: Version) -> set[str]:
    """Files that log entries of the last hour name, and that are committed therefore."""
    named: set[str] = set()
    for info in version.filesystem.get_file_info(FileSelector("_delta_log")):
        if info.extension == "json" and _is_young(info):
            with version.filesystem.open_input_stream(info.path) as entry:
                lines = [json.loads(line) for line in entry.read().splitlines()]
            named |= {line[kind]["path"] for line in lines for kind in ("add", "remove") if kind in line}
    return named
