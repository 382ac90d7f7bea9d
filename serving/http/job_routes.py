"""Routes of existing jobs: state, events, result files, cancelling and deleting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from models.errors import StemsError
from serving.errors import Problem
from serving.http.files.delivery import deliver
from serving.http.files.disposition import disposition
from serving.http.files.recent_files import RecentFiles, ServedFile
from serving.http.negotiation import PreferredResponse, wait_seconds
from serving.http.problems import answer as problem_answer
from serving.http.proxies import link
from serving.jobs.artifacts import MEDIA, MIX, ZIP, one_file
from serving.jobs.blob_store import Stores
from serving.jobs.event_log import Event, EventLog
from serving.jobs.job_store import UNFINISHED, JobRecord
from serving.jobs.scheduler import JobScheduler
from serving.jobs.views import place, view, with_prefix
from serving.schemas import Manifest
from serving.workers.backend import ModelBackend

_LOOK_S, _PULSE_S = 0.5, 10.0
"""How often to look after a job of another process, and to show a quiet stream's client that it lives."""


class JobRoutes:
    """Handlers of job routes. Only a job's owner can see it; others get 404."""

    def __init__(self, scheduler: JobScheduler, stores: Stores, backend: ModelBackend) -> None:
        self._scheduler, self._stores, self._backend = scheduler, stores, backend
        self._recent = RecentFiles()

    async def job(self, job: str, http: Request) -> Response:
        """State, progress and result of a job."""
        found = await self._find(job, http)
        if seconds := wait_seconds(http.headers):
            found = await self._ended(found, seconds)
        return JSONResponse(self._shown(found, http))

    async def remove(self, job: str, http: Request) -> Response:
        """Cancel a running job, or delete an ended one with its files."""
        found = await self._find(job, http)
        if found.state not in UNFINISHED or not await self._scheduler.cancel(found):
            await self._scheduler.forget(job)
            self._recent.forget(job)
        return Response(status_code=204)

    async def events(self, job: str, http: Request, audio: bool = False) -> Response:
        """Server-sent events: `job`, `progress`, `audio` (if asked for), `end`."""
        found = await self._find(job, http)
        last = http.headers.get("last-event-id", "")
        after = int(last) if last.isascii() and last.isdigit() and len(last) < 12 else 0
        event_log = self._scheduler.event_log(job)
        events = self._elsewhere(found) if event_log is None else event_log.subscribe(after)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = _stream(events, audio, link(http.scope))
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def result(self, job: str, file: str, http: Request) -> Response:
        """A stem, the mix, the manifest, the tokens or the zip, or a part of it; the ending chooses the format."""
        found = await self._find(job, http)
        if found.manifest is None:
            raise StemsError(
                "The job has no result.", "It has one once its state is done.", code="missing", field="job"
            )
        served, media = await self._file(found, file), MEDIA[file.rpartition(".")[2]]
        named = disposition(file, str(found.request["prompt"]), inline=media.startswith(("audio/", MEDIA["json"])))
        return deliver(http.headers, served, media, _headers(found) | {"Content-Disposition": named})

    async def answer(self, job: JobRecord, http: Request, preferred: PreferredResponse) -> Response:
        """Respond to an accepted request: with the result if the client waits long enough, otherwise with the job."""
        http.state.job = job.id
        if preferred.wait:
            try:
                job = await self._ended(job, preferred.wait)
            except asyncio.CancelledError:  # the client has left
                if job.client_waits:  # and was promised a song, not a job
                    await asyncio.shield(self._scheduler.cancel(job))
                raise
        headers = _headers(job) | ({"Preference-Applied": f"wait={preferred.wait}"} if preferred.wait else {})
        if job.problem is not None:
            return problem_answer(Problem.model_validate(job.problem), headers)
        if job.state != "done":
            headers["Location"] = place(job.id, link(http.scope))
            return JSONResponse(self._shown(job, http), HTTPStatus.ACCEPTED, headers)
        if preferred.shape == "json":
            return JSONResponse(self._shown(job, http), headers=headers)
        return await self._sound(job, preferred, headers)

    async def _sound(self, job: JobRecord, preferred: PreferredResponse, headers: dict[str, str]) -> Response:
        suffix = preferred.format or str(job.request["format"])
        name = ZIP if preferred.shape == "zip" else f"{MIX}.{suffix}"
        headers["Content-Disposition"] = disposition(name, str(job.request["prompt"]))
        media = MEDIA["zip"] if preferred.shape == "zip" else MEDIA[suffix]
        # Not kept: a client that waits for its song has it now, and many of them would fill the memory.
        data = await asyncio.to_thread(self._maker(job, name))
        assert data is not None
        return Response(data, media_type=media, headers=headers)

    def _shown(self, job: JobRecord, http: Request) -> dict[str, Any]:
        shown = view(self._scheduler.live(job), link(http.scope))
        return shown.model_dump(mode="json")

    def _maker(self, job: JobRecord, name: str) -> Callable[[], bytes | None]:
        """A function that makes a result file, or None if there is no such file."""
        manifest = Manifest.model_validate(job.manifest)
        return lambda: one_file(name, manifest, lambda kept: self._stores.results.get(job.id, kept))

    async def _file(self, job: JobRecord, name: str) -> ServedFile:
        served = await self._recent.get((job.id, name), self._maker(job, name))
        if served is None:
            manifest = Manifest.model_validate(job.manifest)
            files = ", ".join([entry.file for entry in manifest.stems] + [manifest.mix, "manifest.json", ZIP])
            raise StemsError("The result has no such file.", f"It has {files}.", code="missing", field="file")
        return served

    async def _find(self, job: str, http: Request) -> JobRecord:
        found = await asyncio.to_thread(self._stores.jobs.get, job)
        if found is None or found.owner != http.state.owner:
            raise StemsError(
                "There is no such job, or no longer.",
                "Ask for it again with the same seed.",
                code="missing",
                field="job",
            )
        http.state.job = job
        return found

    async def _ended(self, job: JobRecord, seconds: float) -> JobRecord:
        """The job when it ends, or its state after the waiting time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while job.state in UNFINISHED and (left := end - loop.time()) > 0:
            event_log = self._scheduler.event_log(job.id)
            with suppress(TimeoutError):
                if event_log is None:
                    await asyncio.sleep(min(left, _LOOK_S))
                else:
                    await asyncio.wait_for(event_log.until_end(), left)
            job = await self._read(job)
        return job

    async def _elsewhere(self, job: JobRecord) -> AsyncGenerator[Event, None]:
        """Events of a job that has ended or runs in another process: from its record, without sound."""
        event_log, shown = EventLog(), ""
        while True:
            state = view(job).model_dump_json()
            if state != shown:
                event_log.append("job", state)
                shown = state
            if job.state not in UNFINISHED:
                event_log.append("end", state)
                async for event in event_log.subscribe():
                    yield event
                return
            await asyncio.sleep(_LOOK_S)
            job = await self._read(job)

    async def _read(self, job: JobRecord) -> JobRecord:
        """The job's current record, or the last known one if it was deleted."""
        found: JobRecord | None = await asyncio.to_thread(self._stores.jobs.get, job.id)
        return found or job


async def _stream(events: AsyncGenerator[Event, None], audio: bool, prefix: str) -> AsyncIterator[bytes]:
    """Encode events, with links under ``prefix``; send a comment from time to time to keep the connection alive."""
    pending: asyncio.Task[Event] | None = None
    try:
        while True:
            if pending is None:
                pending = asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait((pending,), timeout=_PULSE_S)
            if not done:
                yield b": still here\n\n"
                continue
            event, pending = pending.result(), None
            if prefix and event.kind in ("job", "end"):
                event = replace(event, data=with_prefix(prefix, str(event.data)))
            if audio or event.kind != "audio":
                yield event.encode()
    except StopAsyncIteration:
        return
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(BaseException):
                await pending
        await events.aclose()


def _headers(job: JobRecord) -> dict[str, str]:
    return {"X-Job-Id": job.id, "X-Seed": str(job.request["seed"]), "X-Model-Digest": job.model}
