"""Jobs, durably: each is accepted once, is played by one process at a time, and ends once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from models.errors import StemsError
from serving.jobs.database import jobs
from serving.schemas import State

UNFINISHED = ("queued", "running")


@dataclass(frozen=True)
class JobRecord:
    """A job as it is stored. Times are seconds since 1970.

    Args:
        id: not to be guessed.
        kind: which request it was.
        request: its fields, with the seed.
        sources: names of the audio files that came with it.
        owner: who asked: the name of a key, or nothing.
        request_id: of the HTTP request.
        fingerprint: hash of the request's body.
        model: digest of the model.
        keeper: the process that plays it.
        lease: until when it is that process's, unless it says more.
        inline: a client waits on the line; such jobs go first, and go with their client.
        idempotency: the client's own name of the request.
        trace: the W3C trace context that it belongs to.
    """

    id: str
    kind: str
    request: dict[str, Any]
    sources: list[str]
    owner: str
    request_id: str
    fingerprint: str
    model: str
    keeper: str
    lease: float
    inline: bool = False
    idempotency: str | None = None
    trace: str = ""
    state: State = "queued"
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    expires: float | None = None
    frames: int = 0
    of: int = 0
    attempts: int = 0
    problem: dict[str, Any] | None = None
    manifest: dict[str, Any] | None = None
    webhook_due: float | None = None
    webhook_tries: int = 0


_FIELDS = tuple(entry.name for entry in fields(JobRecord))
_COLUMNS = [jobs.c[name] for name in _FIELDS]


class JobStore:
    """The table of jobs. Its calls block; each is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def file(self) -> Path | None:
        """The file that the database is, where it is one."""
        url = self._engine.url
        is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
        return Path(str(url.database)).expanduser().absolute() if is_file else None

    def add(self, job: JobRecord) -> JobRecord:
        """Store a job; where its owner has named one so before, return that one.

        Raises:
            StemsError: the one before was another request.
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
        """The job that its owner has named so.

        Raises:
            StemsError: it was another request.
        """
        if idempotency is None:
            return None
        found = self._read(jobs.c.owner == owner, jobs.c.idempotency == idempotency)
        if found and found[0].fingerprint != fingerprint:
            raise StemsError(
                "This Idempotency-Key belongs to another request.", "Use a new one.", field="idempotency-key"
            )
        return found[0] if found else None

    def get(self, job: str) -> JobRecord | None:
        """A job, if there is one."""
        found = self._read(jobs.c.id == job)
        return found[0] if found else None

    def adopt(self, keeper: str, lease: float, now: float) -> list[JobRecord]:
        """Take over unfinished jobs whose keeper has not been heard of; the oldest first."""
        with self._engine.begin() as connection:
            ours = (
                update(jobs)
                .where(jobs.c.state.in_(UNFINISHED), jobs.c.lease < now)
                .values(keeper=keeper, lease=lease, state="queued", inline=False)
                .returning(*_COLUMNS)
            )
            found = [JobRecord(**row) for row in connection.execute(ours).mappings()]
        return sorted(found, key=lambda job: job.created)

    def renew(self, keeper: str, lease: float) -> None:
        """Say that all jobs of a keeper are still its."""
        self._change(jobs.c.keeper == keeper, jobs.c.state.in_(UNFINISHED), values={"lease": lease})

    def start(self, job: str, keeper: str, now: float) -> bool:
        """Begin to play; False if the job is no longer the keeper's, or was cancelled."""
        ours = (jobs.c.id == job, jobs.c.keeper == keeper, jobs.c.state.in_(UNFINISHED))
        values = {"state": "running", "started": now, "attempts": jobs.c.attempts + 1}
        return bool(self._change(*ours, values=values))

    def note(self, job: str, keeper: str, frames: int, of: int) -> bool:
        """Keep how far a job is; False if it is not to go on."""
        ours = (jobs.c.id == job, jobs.c.keeper == keeper, jobs.c.state == "running")
        return bool(self._change(*ours, values={"frames": frames, "of": of}))

    def finish(self, job: str, keeper: str, **values: Any) -> bool:
        """End a job; False, and nothing changes, where it has ended or is another's."""
        ours = (jobs.c.id == job, jobs.c.keeper == keeper, jobs.c.state.in_(UNFINISHED))
        return bool(self._change(*ours, values=values))

    def cancel(self, job: str, **values: Any) -> bool:
        """End a job whoever plays it; False where it has ended."""
        unfinished = (jobs.c.id == job, jobs.c.state.in_(UNFINISHED))
        return bool(self._change(*unfinished, values={"state": "cancelled"} | values))

    def cancelled(self, among: Sequence[str]) -> set[str]:
        """Which of these jobs are not to go on."""
        found = select(jobs.c.id).where(jobs.c.id.in_(among), jobs.c.state.in_(UNFINISHED))
        with self._engine.connect() as connection:
            return set(among) - set(connection.execute(found).scalars())

    def forget(self, job: str) -> None:
        """Remove a job."""
        with self._engine.begin() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job))

    def expired(self, now: float) -> list[str]:
        """Jobs that need not be kept any longer."""
        found = select(jobs.c.id).where(jobs.c.expires < now, jobs.c.state.not_in(UNFINISHED))
        with self._engine.connect() as connection:
            return list(connection.execute(found).scalars())

    def due_webhooks(self, now: float) -> list[JobRecord]:
        """Ended jobs whose webhook is to be told now."""
        return self._read(jobs.c.webhook_due <= now, jobs.c.state.not_in(UNFINISHED))

    def webhook_told(self, job: str) -> None:
        """A webhook has been told, or never will be."""
        self._change(jobs.c.id == job, values={"webhook_due": None})

    def webhook_later(self, job: str, due: float) -> None:
        """A webhook is to be told again."""
        self._change(jobs.c.id == job, values={"webhook_due": due, "webhook_tries": jobs.c.webhook_tries + 1})

    def _read(self, *where: Any) -> list[JobRecord]:
        with self._engine.connect() as connection:
            return [JobRecord(**row) for row in connection.execute(select(*_COLUMNS).where(*where)).mappings()]

    def _change(self, *where: Any, values: dict[str, Any]) -> int:
        with self._engine.begin() as connection:
            return int(connection.execute(update(jobs).where(*where).values(values)).rowcount)
