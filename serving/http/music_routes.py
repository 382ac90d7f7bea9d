"""The routes that ask for music, and the one that tells of the model."""

from __future__ import annotations

from fastapi import Request, Response

from models.audio.files import FORMATS
from models.request_bounds import MAX_PROMPT, MIN_SECONDS
from serving.config import ServeConfig
from serving.http.job_routes import JobRoutes
from serving.http.negotiation import preferred_response
from serving.http.submission import Submission
from serving.schemas import (
    EditRequest,
    Limits,
    ModelCard,
    SongRequest,
    StemCard,
    VariationRequest,
)
from serving.workers.backend import ModelBackend


class MusicRoutes:
    """Each makes a job, and answers for it."""

    def __init__(self, config: ServeConfig, backend: ModelBackend, submission: Submission, jobs: JobRoutes) -> None:
        self._config, self._backend, self._submission, self._jobs = config, backend, submission, jobs

    async def song(self, body: SongRequest, http: Request) -> Response:
        """Make a song from a prompt."""
        shape = preferred_response(http.headers)
        job = await self._submission.song(body, http, shape, await self._backend.info())
        return await self._jobs.answer(job, http, shape)

    async def edit(self, http: Request) -> Response:
        """Send a whole song as `song`, or one file per stem, or an earlier job, and say which stems to play anew.

        Stems that are neither sent nor declared silent are generated.
        """
        shape = preferred_response(http.headers)
        job = await self._submission.form(EditRequest, http, shape, await self._backend.info())
        return await self._jobs.answer(job, http, shape)

    async def variation(self, http: Request) -> Response:
        """Keep the notes of a stem (its first codebook), and play them with another sound."""
        shape = preferred_response(http.headers)
        job = await self._submission.form(VariationRequest, http, shape, await self._backend.info())
        return await self._jobs.answer(job, http, shape)

    async def model(self) -> ModelCard:
        """Stems, rates, limits and digest of the model that is being served."""
        info = await self._backend.info()
        return ModelCard(
            digest=info.digest,
            stems=[StemCard(name=stem.name, codebooks=stem.codebooks) for stem in info.layout.stems],
            sample_rate=info.sample_rate,
            frame_rate=info.frame_rate,
            separates=info.separates,
            limits=Limits(
                min_seconds=MIN_SECONDS,
                max_seconds=min(self._config.max_seconds, info.max_seconds),
                max_upload_mb=self._config.max_upload_mb,
                max_prompt_characters=MAX_PROMPT,
                formats=list(FORMATS),
            ),
        )
