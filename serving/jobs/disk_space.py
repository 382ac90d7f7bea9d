"""Whether the disks have room for jobs: checked before a job is accepted, and again after a write has failed."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from models.files.storage import free_bytes
from serving.errors import no_room
from serving.jobs.blob_store import Stores

LEAST_BYTES = 256 * 1024
"""With less free space than this the service is not ready: it could not even store a short song."""

RESERVE, RESERVE_BYTES = "-reserve", 1_000_000
"""Suffix and size of a file beside the database. It is deleted to make room for the records of jobs that end."""

REMEMBER_S = 30.0
"""How long a failed write counts if results go to an object store, which does not say what it has free."""


class DiskSpace:
    """The disks that a service writes to.

    Args:
        folders: folders of this machine; the folder of results comes first.
        results: whether results go to a folder of this machine.
        records: the file of the database; None for a database server.
    """

    def __init__(self, folders: Sequence[Path], *, results: bool, records: Path | None = None) -> None:
        self._folders, self._results = folders, results
        self._reserve = None if records is None else records.with_name(records.name + RESERVE)
        self._failed: float | None = None

    @classmethod
    def of(cls, stores: Stores) -> DiskSpace:
        """The disks of a service's stores."""
        results, records = stores.results.folder, stores.jobs.file
        folders = [folder for folder in (results, stores.uploads.folder, records and records.parent) if folder]
        return cls(folders, results=results is not None, records=records)

    def failed(self) -> None:
        """Remember that a write has failed."""
        self._failed = time.monotonic()

    def full(self) -> bool:
        """Whether nothing can be stored now. It checks the disks, so it blocks for a moment."""
        if not self.keep_reserve():
            return True
        if any(_free(folder) < LEAST_BYTES for folder in self._folders):
            return True
        if self._failed is None:
            return False
        # Only a write shows a quota or a broken disk.
        if not all(_takes(folder) for folder in self._folders):
            return True
        if not self._results and time.monotonic() - self._failed < REMEMBER_S:
            return True
        self._failed = None
        return False

    def keep_reserve(self) -> bool:
        """Set space aside for the ends of accepted jobs; False if there is none."""
        if self._reserve is None or self._reserve.exists():
            return True
        try:
            self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # a file system may store zeros in no space at all
        except OSError:
            self._reserve.unlink(missing_ok=True)
            return False
        return True

    def give_reserve(self) -> bool:
        """Free that space; False if it was freed before."""
        if self._reserve is None or not self._reserve.exists():
            return False
        self._reserve.unlink(missing_ok=True)
        return True

    def check(self, needs: float) -> None:
        """Refuse a job that could not be stored.

        Args:
            needs: bytes that the job's uploads and results take at most.

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
