"""A disk of a few hundred kilobytes, for as long as a test lasts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str, inodes: int = 2000) -> Iterator[Path]:
    """Mount a tmpfs of this size (as in ``"600k"``) at ``folder``; skips where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes={inodes}"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, but: int = 0) -> Path:
    """Fill a disk up to so many bytes; the file that does is returned, to be deleted."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    ballast.write_bytes(bytes(max(0, status.f_bavail * status.f_frsize - but)))
    return ballast
