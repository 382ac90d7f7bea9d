"""Files of a Delta table that nobody needs any more.

Delta says which they are. Its own vacuum would also delete files that a writer has just written and will name in its
commit in a moment, and would write two versions that hold no change.
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
"""A file that no version names may belong to a commit for so long after it was written."""

_AT_A_TIME = 16

_DATA_FILE = re.compile(r"part-[\w.-]*[0-9a-f]{8}-[0-9a-f]{4}-[\w.-]*\.parquet")
"""Names that writers of Delta give to data files; anything else in the folder is of others."""


def unneeded_files(version: Version, hours: float) -> list[str]:
    """Files that no version within the last hours needs: of older versions, and left by killed writers."""
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
    """Files that log entries of the last hour name: they have been committed."""
    named: set[str] = set()
    for info in version.filesystem.get_file_info(FileSelector("_delta_log")):
        if info.extension == "json" and _is_young(info):
            with version.filesystem.open_input_stream(info.path) as entry:
                lines = [json.loads(line) for line in entry.read().splitlines()]
            named |= {line[kind]["path"] for line in lines for kind in ("add", "remove") if kind in line}
    return named
