"""Leases: which jobs this process holds, and how it changes their records while the database is away."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from models.files.storage import storage_reason
from serving.jobs.disk_space import DiskSpace
from serving.jobs.job_store import JobRecord, JobStore

log = logging.getLogger(__name__)

LEASE_S, RENEW_S = 15.0, 3.0


class Leases:
    """A process holds a job until the job's lease ends, and renews its leases while it lives.

    Another process takes over jobs whose lease has ended.
    """

    def __init__(self, store: JobStore, disk: DiskSpace) -> None:
        self._store, self._disk = store, disk
        self.holder = secrets.token_hex(8)
        """The name of this process."""

    @staticmethod
    def lease() -> float:
        """The end of a lease that begins now."""
        return time.time() + LEASE_S

    async def renew(self) -> list[JobRecord]:
        """Renew the leases of this process; return the jobs of dead processes, which it has taken over."""
        await asyncio.to_thread(self._store.renew, self.holder, self.lease())
        return await asyncio.to_thread(self._store.adopt, self.holder, self.lease(), time.time())

    async def release(self) -> None:
        """End all leases of this process, so that another one takes its jobs over at once."""
        await asyncio.to_thread(self._store.renew, self.holder, 0.0)

    async def update(self, change: Callable[[], bool]) -> bool:
        """Change a job's record; try until the database takes it.

        Meanwhile the lease stays this process's, since no other process can reach the database to take the job over.

        Args:
            change: returns whether the record was this process's to change.
        """
        while True:
            try:
                return await asyncio.to_thread(change)
            except SQLAlchemyError as error:
                self.log_failure("A job's record could not be changed; it is tried again", error)
                if not (storage_reason(error) and await asyncio.to_thread(self._disk.give_reserve)):
                    await asyncio.sleep(RENEW_S)

    def log_failure(self, what: str, error: Exception) -> None:
        """Log why a change failed, and remember a full disk."""
        if storage_reason(error) is None:
            log.error("%s.", what, exc_info=error)
        else:  # repeated every few seconds, so without a traceback
            self._disk.failed()
            log.error("%s: the disk is full.", what)
