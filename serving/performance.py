"""One job, from its stored request to its stored result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import numpy as np

from serving import tracing
from serving.bundle import describe, kept_files
from serving.job_store import JobRecord
from serving.musician import Musician, PlayerLostError
from serving.orders import SONG, ModelFacts, Order, edit_of, given_stems, origins, sampling_of
from serving.player import Piece
from serving.results import Files
from serving.schemas import REQUESTS, AnyRequest, Manifest, SongRequest


def request_of(job: JobRecord) -> AnyRequest:
    """The request as it was stored."""
    return REQUESTS[job.kind].model_validate(job.request)


async def perform(
    job: JobRecord, musician: Musician, uploads: Files, results: Files, hear: Callable[[Piece], None]
) -> Manifest:
    """Play a job, let its pieces be heard as they come, and write its files.

    Raises:
        PlayerLostError: who played is gone: the same call again gives the same song.
        StemsError: the job cannot be played.
    """
    facts = await musician.facts()
    order = await _order(job, musician, uploads, facts)
    pieces: list[Piece] = []
    async with aclosing(musician.play(order)) as playing:
        async for piece in playing:
            pieces.append(piece)
            hear(piece)
    if not pieces or pieces[-1].frames < pieces[-1].of:
        raise PlayerLostError("The song ended early.")
    return await asyncio.to_thread(_write, job, order, facts, pieces, results)


async def _order(job: JobRecord, musician: Musician, uploads: Files, facts: ModelFacts) -> Order:
    request = request_of(job)
    sampling, trace = sampling_of(request), tracing.here()
    if isinstance(request, SongRequest):
        return Order(request.prompt, sampling, request.seconds, trace=trace)
    stems = await asyncio.to_thread(lambda: {name: _there(uploads, job.id, name) for name in job.sources})
    edit = edit_of(request)
    assert edit is not None
    if SONG in stems:
        stems = await musician.separate(stems[SONG], facts)
    given = given_stems(stems, edit, facts.layout)
    return Order(request.prompt, sampling, 0.0, edit, {name: stems[name] for name in given}, trace)


def _there(uploads: Files, job: str, name: str) -> bytes:
    data = uploads.get(job, name)
    if data is None:
        raise FileNotFoundError(f"The upload '{name}' of job {job} is gone.")
    return data


def _write(job: JobRecord, order: Order, facts: ModelFacts, pieces: list[Piece], results: Files) -> Manifest:
    sounds = [piece.sound for piece in pieces if piece.sound]
    stems = {name: np.concatenate([sound[name] for sound in sounds]) for name in facts.layout.names}
    codes = np.concatenate([piece.codes for piece in pieces], axis=1)
    sources = origins(order.edit, list(order.stems), facts.layout)
    manifest = describe(job.id, job.kind, request_of(job), stems, sources, facts)
    results.put(job.id, kept_files(stems, codes, manifest))
    return manifest
