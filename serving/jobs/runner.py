"""One job, from its stored request to its stored result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

import numpy as np

from models.request_bounds import SamplingFields
from serving import tracing
from serving.jobs.artifacts import CODES, describe, kept_files, read_codes
from serving.jobs.blob_store import JobFiles
from serving.jobs.job_store import JobRecord
from serving.kinds.kind import MusicRequest
from serving.kinds.registry import KINDS
from serving.kinds.source import SONG
from serving.schemas import Manifest
from serving.timings import Stage, StageClock
from serving.workers.backend import ModelBackend, WorkerLostError
from serving.workers.protocol import Chunk, GenerationOrder, ModelInfo


def request_of(job: JobRecord) -> MusicRequest:
    """The request as it was stored."""
    request: MusicRequest = KINDS[job.kind].request.model_validate(job.request)
    return request


async def run_job(
    job: JobRecord,
    backend: ModelBackend,
    uploads: JobFiles,
    results: JobFiles,
    publish: Callable[[Chunk], None],
    clock: StageClock,
) -> Manifest:
    """Run a job once: generate its song, publish the chunks as they come, and store the files.

    Until the song is complete, all its chunks stay in memory.

    Args:
        job: the stored request.
        backend: generates the song.
        uploads: the audio files that came with the request.
        results: where the files of the result are stored.
        publish: called with each chunk.
        clock: where the time of this attempt goes.

    Raises:
        WorkerLostError: a replica has died. The same call again gives the same song.
        StemsError: the request cannot be carried out.
    """
    info = await backend.info()
    order = await _order(job, backend, uploads, info, clock)
    chunks: list[Chunk] = []
    async with aclosing(backend.generate(order)) as generated:
        async for chunk in generated:
            chunks.append(chunk)
            publish(chunk)
    if not chunks or chunks[-1].frames < chunks[-1].total_frames:
        raise WorkerLostError("The song ended early.")
    with _stage("storing", clock):
        return await asyncio.to_thread(_write, job, order, info, chunks, results)


@contextmanager
def _stage(stage: Stage, clock: StageClock) -> Iterator[None]:
    """Measure a stage, and record it in the trace."""
    with tracing.span(stage), clock.measure(stage):
        yield


async def _order(
    job: JobRecord, backend: ModelBackend, uploads: JobFiles, info: ModelInfo, clock: StageClock
) -> GenerationOrder:
    kind, request = KINDS[job.kind], request_of(job)
    stems = await asyncio.to_thread(lambda: {name: _there(uploads, job.id, name) for name in job.sources})
    if SONG in stems:
        with _stage("separating", clock):
            stems = await backend.separate(stems[SONG], info)
    given = {name: stems[name] for name in kind.given(request, job.sources, info)}
    sampling = SamplingFields(**request.model_dump(include=set(SamplingFields.model_fields)))
    codes = read_codes(stems[CODES], info.layout) if CODES in stems else {}
    known = {name: codes[name] for name in given if name in codes}
    return GenerationOrder(kind.task(request), request.prompt, sampling, given, known, tracing.here())


def _there(uploads: JobFiles, job: str, name: str) -> bytes:
    data = uploads.get(job, name)
    if data is None:
        raise FileNotFoundError(f"The upload '{name}' of job {job} is gone.")
    return data


def _write(
    job: JobRecord, order: GenerationOrder, info: ModelInfo, chunks: list[Chunk], results: JobFiles
) -> Manifest:
    sounds = [chunk.sound for chunk in chunks if chunk.sound]
    stems = {name: np.concatenate([sound[name] for sound in sounds]) for name in info.layout.names}
    codes = np.concatenate([chunk.codes for chunk in chunks], axis=1)
    manifest = describe(job.id, KINDS[job.kind], request_of(job), stems, order.stems, info)
    results.put(job.id, kept_files(stems, codes, manifest))
    return manifest
