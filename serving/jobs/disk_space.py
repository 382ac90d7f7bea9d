"""Whether there is room for what jobs leave: looked at before a job is accepted, and noticed where a write fails."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from models.files.storage import free_bytes
from serving.errors import no_room

LEAST_BYTES = 256 * 1024
"""With less than this the service is not ready: not even a short song could be stored."""

RESERVE, RESERVE_BYTES = "-reserve", 1_000_000
"""Ending of a file beside the database, which is given up when the end of a job can no longer be written into it."""

REMEMBER_S = 30.0
"""How long a failure counts where there is no folder to look at: an object store does not say what it has free."""


class Room:
    """The disks of a service.

    Args:
        folders: on this machine, where something is written; the first is that of results, if it is one.
        results: whether it is.
        records: the database's file, if it is one.
    """

    def __init__(self, folders: Sequence[Path], *, results: bool, records: Path | None = None) -> None:
        self._folders, self._results = folders, results
        self._reserve = None if records is None else records.with_name(records.name + RESERVE)
        self._failed: float | None = None

    def failed(self) -> None:
        """Something could not be stored."""
        self._failed = time.monotonic()

    def full(self) -> bool:
        """Whether nothing can be stored now. It looks at the disks, so it blocks for a moment."""
        if not self.keep_reserve():
            return True
        if any(_free(folder) < LEAST_BYTES for folder in self._folders):
            return True
        if self._failed is None:
            return False
        # A quota, or a disk that is broken, shows only where something is written.
        if not all(_takes(folder) for folder in self._folders):
            return True
        if not self._results and time.monotonic() - self._failed < REMEMBER_S:
            return True
        self._failed = None
        return False

    def keep_reserve(self) -> bool:
        """Have some room set aside for the ends of jobs that were accepted; False where there is none."""
        if self._reserve is None or self._reserve.exists():
            return True
        try:
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # zeros might take no room at all
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        return True

    def give_reserve(self) -> bool:
        """Give that room up; False where it was given up before."""
        if self._reserve is None or not self._reserve.exists():
            return False
        self._reserve.unlink(missing_ok=True)
        return True

    def check(self, needs: float) -> None:
        """Refuse what could not be stored.

        Args:
            needs: bytes that a job's uploads and results take at most.

        Raises:
            StemsError: code ``storage``.
        """
        if self.full() or (self._results and _free(self._folders[0]) < needs):
            raise no_room(needs)


def _free(folder: Path) -> float:
    free = free_bytes(folder)
    return float("inf") if free is None else free


def _takes(folder: Path) -> bool:
    probe = folder / f".probe-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(bytes(LEAST_BYTES))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True
