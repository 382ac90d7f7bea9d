"""Which requests are accepted, and which job runs next."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from serving.config import ServeConfig
from serving.errors import BusyError
from serving.metrics import Meter

_SMOOTHING = 0.2


class Admission:
    """The queue of jobs, and the limits of its length. Jobs whose client waits on the connection go first."""

    def __init__(self, config: ServeConfig, meter: Meter) -> None:
        self._max_queued, self._max_waiting, self._meter = config.max_queued, config.max_waiting, meter
        self._slots = config.slots * config.most_replicas
        # One more for each replica: it reads the next song while it stores the last.
        self.capacity = self._slots + config.most_replicas
        self._lines: dict[bool, dict[str, None]] = {True: {}, False: {}}
        self._reserved = {True: 0, False: 0}
        self._job_seconds = 1.0

    @property
    def queued(self) -> int:
        """Number of jobs that wait."""
        return sum(map(len, self._lines.values()))

    def check(self, running: int, *, client_waits: bool) -> None:
        """Refuse a job that would have to wait too long.

        Args:
            running: number of jobs that run.
            client_waits: whether the client waits on the connection.

        Raises:
            BusyError: too many jobs wait.
        """
        waiting = self.queued + sum(self._reserved.values())
        clients = len(self._lines[True]) + self._reserved[True]
        full = waiting >= self._max_queued
        if self._slots - running - waiting <= 0 and (full or (client_waits and clients >= self._max_waiting)):
            self._meter.shed("queue")
            hint = "Try again after the time in Retry-After" + (
                "." if full else ", or without Prefer: wait, which may queue for longer."
            )
            raise BusyError(
                "All slots are taken, and too many jobs wait.", hint, retry_after=self._retry_after_s(waiting)
            )

    @contextmanager
    def reserve(self, running: int, *, client_waits: bool) -> Iterator[None]:
        """Hold a place in the queue while a job is being stored; BusyError if there is none."""
        self.check(running, client_waits=client_waits)
        self._reserved[client_waits] += 1
        try:
            yield
        finally:
            self._reserved[client_waits] -= 1

    def enqueue(self, job_id: str, *, client_waits: bool) -> None:
        """Put a job at the end of its line."""
        self._lines[client_waits][job_id] = None

    def dequeue(self) -> str | None:
        """Take the id of the next job; None if none waits."""
        for line in (self._lines[True], self._lines[False]):
            for job_id in line:
                del line[job_id]
                return job_id
        return None

    def remove(self, job_id: str) -> None:
        """Take a job out of the queue, if it is there."""
        for line in self._lines.values():
            line.pop(job_id, None)

    def job_took(self, seconds: float) -> None:
        """Learn how long jobs take, for Retry-After."""
        self._job_seconds += _SMOOTHING * (seconds - self._job_seconds)

    def _retry_after_s(self, waiting: int) -> int:
        return max(1, min(60, math.ceil(self._job_seconds * (waiting + 1) / self.capacity)))
