"""Plays the jobs: decides who is let in and who is next, and brings each job to exactly one end.

A job is this process's for as long as its lease, which is renewed while the process lives. What a process leaves
unfinished another takes over, from the start: the seed was drawn when the job was accepted, so it is the same song.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from models.errors import StemsError
from models.files.storage import CODE as STORAGE
from models.files.storage import storage_reason
from serving import tracing
from serving.config import ServeConfig
from serving.errors import BusyError, broken, no_room, problem_of
from serving.jobs.blob_store import JobFiles
from serving.jobs.disk_space import Room
from serving.jobs.event_log import EventLog
from serving.jobs.job_store import JobRecord, JobStore
from serving.jobs.progress import ProgressPublisher
from serving.jobs.runner import perform
from serving.jobs.views import view
from serving.metrics import Meter
from serving.workers.backend import ModelBackend, WorkerLostError

log = logging.getLogger(__name__)

LEASE_S, RENEW_S = 15.0, 3.0
MOST_ATTEMPTS = 20
"""Players, or services, that a job may lose; then it is the job that kills them."""
_PAUSE_S = (0.2, 5.0)
"""Before the next attempt: at first, and at most."""


@dataclass(frozen=True)
class Stores:
    """Where things lie: jobs, uploads, results."""

    jobs: JobStore
    uploads: JobFiles
    results: JobFiles


class JobScheduler:
    """See above. It runs on the event loop of one process; what blocks goes to threads."""

    def __init__(self, config: ServeConfig, backend: ModelBackend, stores: Stores, meter: Meter) -> None:
        self._config, self._backend, self._stores, self._meter = config, backend, stores, meter
        self.room = _room(stores)
        self._slots = config.slots * config.most_replicas
        # One more for each: while one song is being stored, the next is being read.
        self.capacity = self._slots + config.most_replicas
        self.name = secrets.token_hex(8)
        self._queue: list[tuple[bool, int, str]] = []
        self._queued: dict[str, JobRecord] = {}
        self._coming = {True: 0, False: 0}
        self._playing: dict[str, asyncio.Task[None]] = {}
        self._event_logs: dict[str, EventLog] = {}
        self._live: dict[str, ProgressPublisher] = {}
        self._count = 0
        self._wanted = asyncio.Event()
        self._typical = 1.0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin, with what other processes left behind."""
        await asyncio.to_thread(self.room.keep_reserve)
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._keep())]

    async def stop(self) -> None:
        """Leave what is unfinished to another process, at once."""
        for task in (*self._tasks, *self._playing.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._playing.values(), return_exceptions=True)
        await asyncio.to_thread(self._stores.jobs.renew, self.name, 0.0)

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return len(self._queued)

    @property
    def playing(self) -> int:
        """Jobs that are being played."""
        return len(self._playing)

    def check_room(self, *, inline: bool) -> None:
        """Refuse a job that would have to wait too long: BusyError."""
        waiting = len(self._queued) + sum(self._coming.values())
        on_the_line = sum(job.inline for job in self._queued.values()) + self._coming[True]
        free = self._slots - len(self._playing) - waiting
        full = waiting >= self._config.max_queued
        if free <= 0 and (full or (inline and on_the_line >= self._config.max_waiting)):
            self._meter.shed("queue")
            hint = "Try again after the time in Retry-After" + (
                "." if full else ", or without Prefer: wait, which may queue for longer."
            )
            raise BusyError("All slots are taken, and too many wait.", hint, retry_after=self._wait_for(waiting))

    @contextmanager
    def place(self, *, inline: bool) -> Iterator[None]:
        """Hold a place in the queue while a job is being stored; BusyError if there is none."""
        self.check_room(inline=inline)
        self._coming[inline] += 1
        try:
            yield
        finally:
            self._coming[inline] -= 1

    async def accept(self, job: JobRecord, sources: Mapping[str, bytes]) -> JobRecord:
        """Store a job and queue it; where its owner has named one so before, that one is returned, as it is."""
        job = replace(job, keeper=self.name, lease=time.time() + LEASE_S)
        try:
            if sources:
                await asyncio.to_thread(self._stores.uploads.put, job.id, sources)
            stored = await asyncio.to_thread(self._stores.jobs.add, job)
        except (StemsError, SQLAlchemyError) as error:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)
            if storage_reason(error) is not None:
                self.room.failed()
            raise
        if stored.id == job.id:
            self._enqueue(stored)
        elif sources:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)
        return stored

    def event_log(self, job: str) -> EventLog | None:
        """What happens to a job that this process has."""
        return self._event_logs.get(job)

    def frames(self, job: JobRecord) -> JobRecord:
        """The same job, with what it has come to by now."""
        live = self._live.get(job.id)
        return job if live is None or job.state != "running" else replace(job, frames=live.frames, of=live.of)

    async def cancel(self, job: JobRecord) -> bool:
        """End a job that has not ended; its slot is free before the engine's next step."""
        if task := self._playing.get(job.id):
            task.cancel()
        values = self._ending(job)
        done = await asyncio.to_thread(partial(self._stores.jobs.cancel, job.id, **values))
        if done:
            self._meter.ended(job.kind, "cancelled")
            self._close(replace(job, state="cancelled", **values))
        elif (ended := await asyncio.to_thread(self._stores.jobs.get, job.id)) is not None:
            self._close(ended)  # it came to its own end just now
        return done

    async def forget(self, job: str) -> None:
        """Remove a job that has ended, and its files."""
        for files in (self._stores.uploads, self._stores.results):
            await asyncio.to_thread(files.remove, job)
        await asyncio.to_thread(self._stores.jobs.forget, job)

    def _enqueue(self, job: JobRecord) -> None:
        self._count += 1
        self._queued[job.id] = job
        heapq.heappush(self._queue, (not job.inline, self._count, job.id))
        event_log = self._event_logs.setdefault(job.id, EventLog())
        event_log.append("job", view(job).model_dump_json())
        self._wanted.set()

    async def _work(self) -> None:
        """Start the next job whenever there is room for one."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self._queue and len(self._playing) < self.capacity:
                job = self._queued.pop(heapq.heappop(self._queue)[2], None)
                if job is not None:
                    task = asyncio.create_task(self._play(job))
                    self._playing[job.id] = task
                    task.add_done_callback(partial(self._played, job.id))

    def _played(self, job: str, _: asyncio.Task[None]) -> None:
        self._playing.pop(job, None)
        self._live.pop(job, None)
        self._wanted.set()

    async def _play(self, job: JobRecord) -> None:
        """Play a job to its end, however many players it takes."""
        began = time.time()
        if not await self._surely(partial(self._stores.jobs.start, job.id, self.name, began)):
            self._event_logs.pop(job.id, None)
            return
        job = replace(job, state="running", started=began)
        progress = self._live[job.id] = ProgressPublisher(self._event_logs[job.id], self._meter, job.created)
        progress.event_log.append("job", view(job).model_dump_json())
        with tracing.span("job", job.trace, kind=job.kind, job=job.id):
            outcome = await self._outcome(job, progress)
        await self._end(self.frames(job), outcome)
        self._typical += 0.2 * (time.time() - began - self._typical)
        if outcome.get("manifest"):
            self._meter.played(outcome["manifest"]["seconds"], time.time() - began)

    async def _outcome(self, job: JobRecord, progress: ProgressPublisher) -> dict[str, Any]:
        stores, pause = self._stores, _PAUSE_S[0]
        for _ in range(job.attempts, MOST_ATTEMPTS):
            try:
                manifest = await perform(job, self._backend, stores.uploads, stores.results, progress.publish)
                return {"state": "done", "model": manifest.model, "manifest": manifest.model_dump(mode="json")}
            except (WorkerLostError, BusyError) as error:
                log.warning("Job %s lost its player (%s) and is played again.", job.id, error)
                progress.again()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_S[1])
            except StemsError as error:
                if error.code == STORAGE:
                    self.room.failed()
                return {"state": "failed", "problem": problem_of(error, job.request_id).model_dump()}
            except Exception as error:
                if storage_reason(error) is not None:
                    log.error("Job %s: %s", job.id, error)
                    self.room.failed()
                    return {"state": "failed", "problem": problem_of(no_room(), job.request_id).model_dump()}
                log.exception("Job %s failed.", job.id)
                break
        return {"state": "failed", "problem": problem_of(broken(), job.request_id).model_dump()}

    async def _end(self, job: JobRecord, outcome: dict[str, Any]) -> None:
        values = outcome | self._ending(job) | {"frames": job.frames, "of": job.of}
        if (outcome.get("problem") or {}).get("status") == HTTPStatus.INSUFFICIENT_STORAGE:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)  # makes room for the record of its end
        if not await self._surely(partial(self._stores.jobs.finish, job.id, self.name, **values)):
            self._event_logs.pop(job.id, None)
            return
        self._meter.ended(job.kind, outcome["state"])
        self._close(replace(job, **values))
        if job.sources:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)

    def _close(self, job: JobRecord) -> None:
        """Tell all who listen that a job has ended."""
        self._queued.pop(job.id, None)
        if event_log := self._event_logs.pop(job.id, None):
            event_log.append("job", view(job).model_dump_json())
            event_log.append("end", view(job).model_dump_json())

    async def _keep(self) -> None:
        """Renew leases, take over jobs that nobody keeps, stop those cancelled elsewhere, forget the expired."""
        while True:
            try:
                await self._keep_once()
            except Exception as error:  # a database that is away for a moment; the next turn will do it
                self._note_failure("Jobs could not be looked after", error)
            await asyncio.sleep(RENEW_S)

    async def _keep_once(self) -> None:
        store, now = self._stores.jobs, time.time()
        for job_id in await asyncio.to_thread(store.expired, now):  # first: it makes room for what follows
            await self.forget(job_id)
        await asyncio.to_thread(store.renew, self.name, now + LEASE_S)
        for job in await asyncio.to_thread(store.adopt, self.name, now + LEASE_S, now):
            if job.id not in self._event_logs:
                self._enqueue(job)
        playing = list(self._playing)
        for job_id in await asyncio.to_thread(store.cancelled, playing) if playing else ():
            if task := self._playing.get(job_id):
                task.cancel()
        for job_id, live in list(self._live.items()):
            await asyncio.to_thread(store.note, job_id, self.name, live.frames, live.of)

    async def _surely(self, change: Callable[[], bool]) -> bool:
        """Change a job's record, however long the database is away: its lease goes on, so no other process would."""
        while True:
            try:
                return await asyncio.to_thread(change)
            except SQLAlchemyError as error:
                self._note_failure("A job's record could not be changed; it is tried again", error)
                if not (storage_reason(error) and await asyncio.to_thread(self.room.give_reserve)):
                    await asyncio.sleep(RENEW_S)

    def _note_failure(self, what: str, error: Exception) -> None:
        if storage_reason(error) is None:
            log.error("%s.", what, exc_info=error)
        else:  # once more every few seconds
            self.room.failed()
            log.error("%s: the disk is full.", what)

    def _wait_for(self, waiting: int) -> int:
        return max(1, min(60, math.ceil(self._typical * (waiting + 1) / self.capacity)))

    def _ending(self, job: JobRecord) -> dict[str, Any]:
        """What is stored of a job that ends now, however it ends."""
        now = time.time()
        told: dict[str, Any] = {"webhook_due": now} if job.request.get("webhook") else {}
        return told | {"ended": now, "expires": now + self._config.keep_hours * 3600}


def _room(stores: Stores) -> Room:
    """Where a service writes on this machine."""
    results, records = stores.results.folder, stores.jobs.file
    folders = [folder for folder in (results, stores.uploads.folder, records and records.parent) if folder]
    return Room(folders, results=results is not None, records=records)
