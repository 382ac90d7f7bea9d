"""Runs the jobs: starts the next one when there is room, and brings each to exactly one end.

This process holds a job until the job's lease ends. If it dies, another process takes the job over and starts it from
the beginning; the seed was drawn when the job was accepted, so the song is the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from models.errors import StemsError
from models.files.storage import storage_reason
from serving import tracing
from serving.config import ServeConfig
from serving.jobs import leases
from serving.jobs.admission import Admission
from serving.jobs.attempts import run_attempts
from serving.jobs.blob_store import Stores
from serving.jobs.disk_space import DiskSpace
from serving.jobs.event_log import EventLog
from serving.jobs.job_store import UNFINISHED, JobRecord
from serving.jobs.job_timings import JobTimings
from serving.jobs.progress import ProgressPublisher
from serving.jobs.views import view
from serving.metrics import Meter
from serving.workers.backend import ModelBackend

log = logging.getLogger(__name__)


@dataclass
class _Active:
    """A job that this process holds. It waits while it has no task; its progress is there once it was started."""

    record: JobRecord
    event_log: EventLog
    task: asyncio.Task[None] | None = None
    progress: ProgressPublisher | None = None

    def live(self) -> dict[str, Any]:
        """What the record will say of the progress so far."""
        progress = self.progress
        if progress is None:
            return {}
        return {
            "frames": progress.frames,
            "total_frames": progress.total_frames,
            "attempts": progress.attempts,
            "timings": progress.timings.seconds,
        }


class JobScheduler:
    """Accepts, runs, cancels and forgets jobs. It runs on the event loop of one process; threads do what blocks."""

    def __init__(self, config: ServeConfig, backend: ModelBackend, stores: Stores, meter: Meter) -> None:
        self._backend, self._stores, self._meter = backend, stores, meter
        self._keep_seconds = config.keep_hours * 3600
        self.disk = DiskSpace.of(stores)
        self.leases = leases.Leases(stores.jobs, self.disk)
        self._admission = Admission(config, meter)
        self.capacity = self._admission.capacity
        self._active: dict[str, _Active] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin, with the jobs that dead processes have left."""
        await asyncio.to_thread(self.disk.keep_reserve)
        self._tasks = [asyncio.create_task(self._dispatch()), asyncio.create_task(self._watch())]

    async def stop(self) -> None:
        """Leave unfinished jobs to another process, at once."""
        tasks = [*self._tasks, *(active.task for active in self._active.values() if active.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.leases.release()

    @property
    def queued(self) -> int:
        """Number of jobs that wait."""
        return self._admission.queued

    @property
    def running(self) -> int:
        """Number of jobs that run."""
        return sum(active.task is not None for active in self._active.values())

    def check_room(self, *, client_waits: bool) -> None:
        """Refuse a job that would have to wait too long: BusyError."""
        self._admission.check(self.running, client_waits=client_waits)

    @contextmanager
    def reserve(self, *, client_waits: bool) -> Iterator[None]:
        """Hold a place in the queue while a job is being stored; BusyError if there is none."""
        with self._admission.reserve(self.running, client_waits=client_waits):
            yield

    async def accept(self, job: JobRecord, sources: Mapping[str, bytes]) -> JobRecord:
        """Store a job and queue it. If its owner has used its idempotency key before, return that job as it is."""
        job = replace(job, lease_holder=self.leases.holder, lease=self.leases.lease())
        try:
            if sources:
                await asyncio.to_thread(self._stores.uploads.put, job.id, sources)
            stored = await asyncio.to_thread(self._stores.jobs.add, job)
        except (StemsError, SQLAlchemyError) as error:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)
            if storage_reason(error) is not None:
                self.disk.failed()
            raise
        if stored.id == job.id:
            self._enqueue(stored)
        elif sources:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)
        return stored

    def event_log(self, job_id: str) -> EventLog | None:
        """The events of a job; None if another process holds it, or it has ended."""
        active = self._active.get(job_id)
        return None if active is None or active.event_log.ended else active.event_log

    def live(self, job: JobRecord) -> JobRecord:
        """The record of a job with its progress up to now."""
        active = self._active.get(job.id)
        return job if active is None or job.state != "running" else replace(job, **active.live())

    async def cancel(self, job: JobRecord) -> bool:
        """End a job that has not ended; its slot is free before the engine's next step."""
        active = self._active.get(job.id)
        values = self._ending(job) | (active.live() if active else {})
        if active and active.task:
            active.task.cancel()
        cancelled = await asyncio.to_thread(partial(self._stores.jobs.cancel, job.id, **values))
        ended = replace(job, state="cancelled", **values) if cancelled else await self._stored(job.id)
        if cancelled and ended:
            self._count(ended)
        if active and ended:
            self._close(active, ended)
        return cancelled

    async def forget(self, job_id: str) -> None:
        """Remove a job that has ended, and its files."""
        for files in (self._stores.uploads, self._stores.results):
            await asyncio.to_thread(files.remove, job_id)
        await asyncio.to_thread(self._stores.jobs.forget, job_id)

    def _enqueue(self, job: JobRecord) -> None:
        active = self._active[job.id] = _Active(job, EventLog())
        active.event_log.append("job", view(job).model_dump_json())
        self._admission.enqueue(job.id, client_waits=job.client_waits)
        self._wake.set()

    async def _dispatch(self) -> None:
        """Start the next job whenever there is room for one."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.running < self.capacity and (job_id := self._admission.dequeue()):
                active = self._active[job_id]
                active.task = asyncio.create_task(self._run(active))
                active.task.add_done_callback(partial(self._done, job_id))

    def _done(self, job_id: str, task: asyncio.Task[None]) -> None:
        active = self._active.pop(job_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Job %s: its end could not be stored.", job_id, exc_info=error)
            active.event_log.close()
        self._wake.set()

    async def _run(self, active: _Active) -> None:
        """Run a job to its end."""
        job, began = active.record, time.time()
        timings = JobTimings(job, began)
        start = partial(self._stores.jobs.start, job.id, self.leases.holder, began, timings.seconds)
        if not await self.leases.update(start):
            await self._let_go(active)
            return
        if job.started is None:
            tracing.record("waiting", job.created, began, job.trace)
        active.progress = ProgressPublisher(job, active.event_log, self._meter, timings)
        active.record = replace(
            job, state="running", started=began, attempts=job.attempts + 1, timings=timings.seconds
        )
        active.event_log.append("job", view(active.record).model_dump_json())
        with tracing.span("job", job.trace, kind=job.kind, job=job.id) as span:
            outcome = await run_attempts(job, self._backend, self._stores, self.disk, active.progress)
            span.set_attribute("attempts", active.progress.attempts)
        await self._end(active, outcome)
        seconds = time.time() - began
        self._admission.job_took(seconds)
        if outcome.get("manifest"):
            self._meter.finished_song(outcome["manifest"]["seconds"], seconds)

    async def _end(self, active: _Active, outcome: dict[str, Any]) -> None:
        job = active.record
        values = outcome | self._ending(job) | active.live()
        if (outcome.get("problem") or {}).get("status") == HTTPStatus.INSUFFICIENT_STORAGE:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)  # makes room for the record of its end
        if not await self.leases.update(partial(self._stores.jobs.finish, job.id, self.leases.holder, **values)):
            await self._let_go(active)
            return
        ended = replace(job, **values)
        self._count(ended)
        self._close(active, ended)
        if job.sources:
            await asyncio.to_thread(self._stores.uploads.remove, job.id)

    def _count(self, job: JobRecord) -> None:
        self._meter.ended(job.kind, job.state, job.attempts, job.timings or {})

    def _close(self, active: _Active, job: JobRecord) -> None:
        """Append the end of a job to its events."""
        self._admission.remove(job.id)
        for kind in ("job", "end"):
            active.event_log.append(kind, view(job).model_dump_json())
        if active.task is None:
            self._active.pop(job.id, None)

    async def _let_go(self, active: _Active) -> None:
        """Stop following a job that another process has cancelled or taken over."""
        job = await self._stored(active.record.id)
        if job is not None and job.state not in UNFINISHED:
            self._close(active, job)
        else:
            active.event_log.close()

    async def _watch(self) -> None:
        """Renew leases, take over abandoned jobs, stop those cancelled elsewhere, forget the expired."""
        while True:
            try:
                await self._watch_once()
            except Exception as error:  # the database is away for a moment; the next turn will do it
                self.leases.log_failure("The jobs' leases could not be renewed", error)
            await asyncio.sleep(leases.RENEW_S)

    async def _watch_once(self) -> None:
        store = self._stores.jobs
        for job_id in await asyncio.to_thread(store.expired, time.time()):  # first, since it makes room
            await self.forget(job_id)
        for job in await self.leases.renew():
            if job.id not in self._active:
                self._enqueue(job)
        running = {job_id: active for job_id, active in self._active.items() if active.task}
        for job_id in await asyncio.to_thread(store.cancelled, list(running)) if running else ():
            if task := running[job_id].task:
                task.cancel()
            await self._let_go(running[job_id])
        for job_id, active in running.items():
            if progress := active.progress:
                values = (progress.frames, progress.total_frames, progress.attempts)
                await asyncio.to_thread(store.note, job_id, self.leases.holder, *values)

    async def _stored(self, job_id: str) -> JobRecord | None:
        return await asyncio.to_thread(self._stores.jobs.get, job_id)

    def _ending(self, job: JobRecord) -> dict[str, Any]:
        """What is stored of a job that ends now, however it ends."""
        now = time.time()
        webhook: dict[str, Any] = {"webhook_due": now} if job.request.get("webhook") else {}
        return webhook | {"ended": now, "expires": now + self._keep_seconds}
