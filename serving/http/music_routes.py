"""The routes that take requests for music, and the one that describes the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response

from models.audio.files import FORMATS
from models.request_bounds import MAX_PROMPT, MIN_SECONDS
from serving.config import ServeConfig
from serving.http.job_routes import JobRoutes
from serving.http.negotiation import preferred_response
from serving.http.submission import Submission
from serving.kinds.kind import Kind, MusicRequest
from serving.kinds.source import SourceKind
from serving.schemas import Limits, ModelCard, StemCard
from serving.workers.backend import ModelBackend


class MusicRoutes:
    """Handlers that create a job per request."""

    def __init__(self, config: ServeConfig, backend: ModelBackend, submission: Submission, jobs: JobRoutes) -> None:
        self._config, self._backend, self._submission, self._jobs = config, backend, submission, jobs

    def handler(self, kind: Kind[Any]) -> Callable[..., Awaitable[Response]]:
        """The handler for requests of one kind."""
        return self._form(kind) if isinstance(kind, SourceKind) else self._json(kind)

    def _json(self, kind: Kind[Any]) -> Callable[..., Awaitable[Response]]:
        async def handle(body: MusicRequest, http: Request) -> Response:
            preferred = preferred_response(http.headers)
            job = await self._submission.json(kind, body, http, preferred, await self._backend.info())
            return await self._jobs.answer(job, http, preferred)

        handle.__annotations__ |= {"body": kind.request}  # by which FastAPI reads and documents the body
        return handle

    def _form(self, kind: SourceKind[Any]) -> Callable[..., Awaitable[Response]]:
        async def handle(http: Request) -> Response:
            preferred = preferred_response(http.headers)
            job = await self._submission.form(kind, http, preferred, await self._backend.info())
            return await self._jobs.answer(job, http, preferred)

        return handle

    async def model(self) -> ModelCard:
        """Stems, rates, limits and digest of the served model."""
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
