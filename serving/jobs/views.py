"""Jobs as their clients see them."""

from __future__ import annotations

from datetime import UTC, datetime

from serving.errors import Problem
from serving.jobs.artifacts import MANIFEST, ZIP
from serving.jobs.job_store import JobRecord
from serving.schemas import Job, Links, Manifest, Timings
from serving.timings import Seconds


def view(job: JobRecord, prefix: str = "") -> Job:
    """A stored job as the API shows it.

    Args:
        job: the record.
        prefix: the path under which the client reaches the service.
    """
    manifest = None if job.manifest is None else Manifest.model_validate(job.manifest)
    return Job(
        id=job.id,
        kind=job.kind,
        state=job.state,
        frames=job.frames,
        of=job.total_frames,
        attempts=job.attempts,
        timings=None if job.timings is None else _timings(job.timings),
        seed=int(job.request["seed"]),
        model=job.model,
        created=_moment(job.created),
        started=None if job.started is None else _moment(job.started),
        ended=None if job.ended is None else _moment(job.ended),
        expires=None if job.expires is None else _moment(job.expires),
        problem=None if job.problem is None else Problem.model_validate(job.problem),
        manifest=manifest,
        links=_links(job.id, manifest, prefix),
    )


def with_prefix(prefix: str, text: str) -> str:
    """The JSON of a job, with links for a client that reaches the service under ``prefix``."""
    job = Job.model_validate_json(text)
    return job.model_copy(update={"links": _links(job.id, job.manifest, prefix)}).model_dump_json()


def place(job: str, prefix: str) -> str:
    """The path of a job."""
    return f"{prefix}/v1/jobs/{job}"


def _links(job: str, manifest: Manifest | None, prefix: str) -> Links:
    this, base = place(job, prefix), f"{prefix}/v1/results/{job}"
    if manifest is None:
        return Links(this=this, events=f"{this}/events")
    return Links(
        this=this,
        events=f"{this}/events",
        zip=f"{base}/{ZIP}",
        mix=f"{base}/{manifest.mix}",
        manifest=f"{base}/{MANIFEST}",
        stems={stem.name: f"{base}/{stem.file}" for stem in manifest.stems},
    )


def _timings(seconds: Seconds) -> Timings:
    return Timings.model_validate({stage: round(value, 4) for stage, value in seconds.items()})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
