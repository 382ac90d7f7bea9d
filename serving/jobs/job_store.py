"""The records of jobs: each job is accepted once, one process at a time runs it, and it ends once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import StemsError
from serving.jobs.database import jobs
from serving.schemas import State
from serving.timings import Seconds, Stage

UNFINISHED = ("queued", "running")


@dataclass(frozen=True)
class JobRecord:
    """A job as it is stored. Times are seconds since 1970.

    Args:
        id: an unguessable id.
        kind: the kind of request.
        request: the request's fields, with the seed.
        sources: names of the audio files that came with the request.
        owner: name of the client's API key; empty without keys.
        request_id: id of the HTTP request.
        fingerprint: hash of the request's body.
        model: digest of the model.
        lease_holder: the process that holds the job.
        lease: when its lease ends, unless it renews it.
        client_waits: a client waits on the connection. Such jobs go first, and are cancelled if their client leaves.
        idempotency: the client's own key for the request.
        trace: the W3C trace context of the request.
        total_frames: frames of the whole song; 0 until that is known.
        attempts: how often the job was begun.
        timings: seconds by stage; None before it was started, and for jobs of versions before 0.2.
    """

    id: str
    kind: str
    request: dict[str, Any]
    sources: list[str]
    owner: str
    request_id: str
    fingerprint: str
    model: str
    lease_holder: str
    lease: float
    client_waits: bool = False
    idempotency: str | None = None
    trace: str = ""
    state: State = "queued"
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    frames: int = 0
    total_frames: int = 0
    attempts: int = 0
    problem: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    webhook_due: float | None = None
    webhook_tries: int = 0
    timings: Seconds | None = None


_FIELDS = tuple(entry.name for entry in fields(JobRecord))
_COLUMNS = [jobs.c[name].label(name) for name in _FIELDS]


class JobStore:
    """The table of jobs. Its calls block; each is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def file(self) -> Path | None:
        """The file of the database; None for a database server."""
        url = self._engine.url
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        return Path(str(url.database)).expanduser().absolute() if is_file else None

    def add(self, job: JobRecord) -> JobRecord:
        """Store a job. If its owner has used its idempotency key before, return that job instead.

        Raises:
            StemsError: that job was another request.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(jobs).values(asdict(job)))
            return job
        except IntegrityError:
            earlier = self.named(job.owner, job.idempotency, job.fingerprint)
            if earlier is None:
                raise
            return earlier

    def named(self, owner: str, idempotency: str | None, fingerprint: str) -> JobRecord | None:
        """The job with this idempotency key of its owner, if there is one.

        Raises:
            StemsError: that job was another request.
        """
        if idempotency is None:
            return None
        found = self._read(jobs.c.owner == owner, jobs.c.idempotency == idempotency)
        if found and found[0].fingerprint != fingerprint:
            raise StemsError(
                "This Idempotency-Key belongs to another request.", "Use a new key.", field="idempotency-key"
            )
        return found[0] if found else None

    def get(self, job: str) -> JobRecord | None:
        """The job with this id, if there is one."""
        found = self._read(jobs.c.id == job)
        return found[0] if found else None

    def adopt(self, holder: str, lease: float, now: float) -> list[JobRecord]:
        """Take over unfinished jobs whose lease has ended; the oldest first."""
        with self._engine.begin() as connection:
            ours = (
                update(jobs)
                .where(jobs.c.state.in_(UNFINISHED), jobs.c.lease < now)
                .values(lease_holder=holder, lease=lease, state="queued", client_waits=False)
                .returning(*_COLUMNS)
            )
            found = [JobRecord(**row) for row in connection.execute(ours).mappings()]
        return sorted(found, key=lambda job: job.created)

    def renew(self, holder: str, lease: float) -> None:
        """Set the end of the lease of all unfinished jobs of a process."""
        self._change(jobs.c.lease_holder == holder, jobs.c.state.in_(UNFINISHED), values={"lease": lease})

    def start(self, job: str, holder: str, now: float, timings: Mapping[Stage, float]) -> bool:
        """Record the start of an attempt; False if the job was cancelled, or another process holds it."""
        ours = (jobs.c.id == job, jobs.c.lease_holder == holder, jobs.c.state.in_(UNFINISHED))
        attempts = jobs.c.attempts + 1
        values = {"state": "running", "started": now, "attempts": attempts, "timings": dict(timings)}
        return bool(self._change(*ours, values=values))

    def note(self, job: str, holder: str, frames: int, total_frames: int, attempts: int) -> bool:
        """Record the progress of a job; False if it was cancelled, or another process holds it."""
        ours = (jobs.c.id == job, jobs.c.lease_holder == holder, jobs.c.state == "running")
        values = {"frames": frames, "total_frames": total_frames, "attempts": attempts}
        return bool(self._change(*ours, values=values))

    def finish(self, job: str, holder: str, **values: Any) -> bool:
        """End a job; False, without a change, if it has ended or another process holds it."""
        ours = (jobs.c.id == job, jobs.c.lease_holder == holder, jobs.c.state.in_(UNFINISHED))
        return bool(self._change(*ours, values=values))

    def cancel(self, job: str, **values: Any) -> bool:
        """End a job, whichever process holds it; False if it has ended."""
        unfinished = (jobs.c.id == job, jobs.c.state.in_(UNFINISHED))
        return bool(self._change(*unfinished, values={"state": "cancelled"} | values))

    def cancelled(self, among: Sequence[str]) -> set[str]:
        """Those of these jobs that have ended, or are gone."""
        found = select(jobs.c.id).where(jobs.c.id.in_(among), jobs.c.state.in_(UNFINISHED))
        with self._engine.connect() as connection:
            return set(among) - set(connection.execute(found).scalars())

    def forget(self, job: str) -> None:
        """Remove a job."""
        with self._engine.begin() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job))

    def expired(self, now: float) -> list[str]:
        """Ids of jobs that have expired."""
        found = select(jobs.c.id).where(jobs.c.expires < now, jobs.c.state.not_in(UNFINISHED))
        with self._engine.connect() as connection:
            return list(connection.execute(found).scalars())

    def due_webhooks(self, now: float) -> list[JobRecord]:
        """Ended jobs whose webhook is due."""
        return self._read(jobs.c.webhook_due <= now, jobs.c.state.not_in(UNFINISHED))

    def webhook_done(self, job: str) -> None:
        """Record that a webhook was delivered, or given up."""
        self._change(jobs.c.id == job, values={"webhook_due": None})

    def webhook_later(self, job: str, due: float) -> None:
        """Record when a webhook is to be tried again."""
        self._change(jobs.c.id == job, values={"webhook_due": due, "webhook_tries": jobs.c.webhook_tries + 1})

    def _read(self, *where: Any) -> list[JobRecord]:
        with self._engine.connect() as connection:
            return [JobRecord(**row) for row in connection.execute(select(*_COLUMNS).where(*where)).mappings()]

    def _change(self, *where: Any, values: dict[str, Any]) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(update(jobs).where(*where).values(values)).rowcount)
