"""The client's calls as generators: they yield requests and pauses, and receive responses. No network, no sleep.

So the blocking client and the asynchronous one do the same, and only carry it out differently.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, TypeAlias, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from models.audio.files import FORMATS, AudioFormat
from models.errors import StemsError
from serving.client import requests
from serving.client.requests import Ask
from serving.client.retries import Trouble, failure, not_understood, told
from serving.schemas import Job, ModelCard

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

# Of one request; proxies cut connections that are silent for longer.
_WAIT_S = 50
# Between looks at a job, where the service does not let a request wait.
_LOOK_S = 1.0

Kind = Literal["zip", "mix", "stem"]
"""Of the files of a result."""

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True)
class Pause:
    """Wait before the next step."""

    seconds: float


Step: TypeAlias = Ask | Pause
Answer: TypeAlias = httpx.Response | httpx.RequestError | None
"""To a request its answer, read to its end, or why there is none; to a pause nothing."""
Steps: TypeAlias = Generator[Step, Answer, T]


def answered(ask: Ask, patience: float) -> Steps[httpx.Response]:
    """Send a request and retry it up to the time limit. RequestError if it still fails."""
    trouble = Trouble(patience)
    while True:
        answer = yield ask
        assert answer is not None
        error = failure(answer)
        if isinstance(answer, httpx.Response) and not error:
            return answer
        assert error is not None
        if not error.passing or (error.taken and not ask.repeatable):
            raise error
        yield Pause(trouble.pause(error))


def asked_job(ask: Ask, patience: float) -> Steps[Job]:
    """Send a request for music; return its job."""
    return _model(Job, (yield from answered(ask, patience)))


def model(patience: float) -> Steps[ModelCard]:
    """The model that is being served."""
    return _model(ModelCard, (yield from answered(requests.model(), patience)))


def ready() -> Steps[bool]:
    """Whether the service accepts requests now."""
    answer = yield requests.ready()
    assert answer is not None
    error = failure(answer)
    if error and not error.passing:
        raise error
    return error is None


def wait(job: Job | str, seconds: float | None, patience: float) -> Steps[Job]:
    """Return the job when it has ended, or its state after ``seconds``."""
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        left = int(min(_WAIT_S, max(0.0, deadline - asked)))
        found = yield from asked_job(requests.look(job, left), patience)
        now = time.monotonic()
        if found.state in ENDED or now >= deadline:
            return found
        # A service that answers at once is not to be asked on and on.
        yield Pause(min(deadline - now, max(0.0, asked + _LOOK_S - now)))


def cancel(job: Job | str, patience: float) -> Steps[Job]:
    """Cancel a job. A job that has ended keeps its state and its files."""
    found = yield from asked_job(requests.look(job), patience)
    if found.state not in ENDED:
        yield from answered(requests.removal(job), patience)
        found = yield from asked_job(requests.look(job), patience)
    return found


def delete(job: Job | str, patience: float) -> Steps[None]:
    """Cancel a job if it has not ended, and delete it with its files."""
    found = yield from cancel(job, patience)
    if found.state not in ENDED:
        yield from wait(job, None, patience)
    yield from answered(requests.removal(job), patience)


def result_file(
    job: Job | str, kind: Kind, patience: float, *, stem: str = "", format: AudioFormat | None = None
) -> Steps[bytes]:
    """The zip, the mix or a stem of a job that is done.

    Raises:
        RequestError: the job failed, or the request did.
        StemsError: it is not done, was cancelled, or has no such stem.
    """
    if isinstance(job, str) or job.state not in ENDED:
        job = yield from asked_job(requests.look(job), patience)
    link = _link(job, kind, stem)
    if format is not None:
        if format not in FORMATS:
            raise StemsError(f"'{format}' is no audio format.", f"Use one of {', '.join(FORMATS)}.", field="format")
        link = str(PurePosixPath(link).with_suffix(f".{format}"))
    return (yield from answered(requests.file(link), patience)).content


def _check_done(job: Job) -> None:
    """Refuse a job that is not done: RequestError says why it failed, StemsError that it was cancelled or goes on."""
    if job.state == "failed":
        raise told(job.problem.model_dump() if job.problem else {"detail": f"Job {job.id} failed."})
    if job.state == "cancelled":
        raise StemsError(f"Job {job.id} was cancelled.", "Ask again.", code="cancelled")
    if job.state != "done":
        raise StemsError(f"Job {job.id} is {job.state}.", "Wait for it.", code="not_done")


def _link(job: Job, kind: Kind, stem: str) -> str:
    _check_done(job)
    stems = job.links.stems or {}
    if kind == "stem" and stem not in stems:
        raise StemsError(f"The song has no stem '{stem}'.", f"It has {', '.join(stems)}.", field="stem")
    link = {"zip": job.links.zip, "mix": job.links.mix, "stem": stems.get(stem)}[kind]
    if link is None:
        raise not_understood(f"a job that is done: it has no link to its {kind}")
    return link


def _model(kind: type[M], answer: httpx.Response) -> M:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise not_understood(f"a {'job' if kind is Job else 'model'}", answer) from error
