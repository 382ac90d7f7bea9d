"""One job, from its stored request to its stored result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager

import numpy as np

from serving import tracing
from serving.jobs.artifacts import describe, kept_files
from serving.jobs.blob_store import JobFiles
from serving.jobs.job_store import JobRecord
from serving.schemas import REQUESTS, AnyRequest, Manifest, SongRequest
from serving.timings import Stage, StageClock
from serving.workers.backend import ModelBackend, WorkerLostError
from serving.workers.protocol import (
    SONG,
    Chunk,
    GenerationOrder,
    ModelInfo,
    edit_of,
    given_stems,
    origins,
    sampling_of,
)


def request_of(job: JobRecord) -> AnyRequest:
    """The request as it was stored."""
    return REQUESTS[job.kind].model_validate(job.request)


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
    request = request_of(job)
    sampling, trace = sampling_of(request), tracing.here()
    if isinstance(request, SongRequest):
        return GenerationOrder(request.prompt, sampling, request.seconds, trace=trace)
    stems = await asyncio.to_thread(lambda: {name: _there(uploads, job.id, name) for name in job.sources})
    edit = edit_of(request)
    assert edit is not None
    if SONG in stems:
        with _stage("separating", clock):
            stems = await backend.separate(stems[SONG], info)
    given = given_stems(stems, edit, info.layout)
    return GenerationOrder(request.prompt, sampling, 0.0, edit, {name: stems[name] for name in given}, trace)


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
    sources = origins(order.edit, list(order.stems), info.layout)
    manifest = describe(job.id, job.kind, request_of(job), stems, sources, info)
    results.put(job.id, kept_files(stems, codes, manifest))
    return manifest
