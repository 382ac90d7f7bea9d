"""Inspect every file of a folder in a process of its own, which a decoder may crash, hang or fill.

``python -m helpers.inspecting FOLDER`` writes two lines of JSON a file: its name as it begins, and what was found.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.tokens.songs.inspect import inspect_file
from pipelines.tokens.songs.limits import SongLimits

LIMITS = SongLimits(min_seconds=1.0, max_seconds=300.0, max_megabytes=1024.0)
PATIENCE_S = 60


@dataclass(frozen=True)
class Found:
    """What inspection says of a file; ``peak_mb`` is the most memory that the process has taken so far."""

    reason: str
    message: str
    song_id: str
    took: float
    peak_mb: float


def inspect_folder(folder: Path) -> tuple[dict[str, Found], str]:
    """What was found, by file name, and the name of the file that ended the process; empty where none did."""
    command = [sys.executable, "-m", "helpers.inspecting", str(folder)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
    found: dict[str, Found] = {}
    culprit = ""
    for line in lines:
        values: dict[str, Any] = json.loads(line)
        name = values.pop("name")
        culprit = "" if values else name
        if values:
            found[name] = Found(**values)
    return found, culprit


def _main(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        faulthandler.dump_traceback_later(PATIENCE_S, exit=True)
        print(json.dumps({"name": path.name}), flush=True)
        row = inspect_file(entry_to_json(CatalogEntry(uri=str(path), fingerprint="")), LIMITS)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        values = {"name": path.name, "reason": row.reason, "message": row.message, "song_id": row.song_id}
        print(json.dumps({**values, "took": row.took, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
