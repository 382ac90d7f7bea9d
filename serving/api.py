"""The HTTP API: songs, edits, the model, results, health; and the page. No model code, no Ray."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from models.audio import FORMATS
from models.errors import StemsError
from models.song import Song
from serving import openapi, problems
from serving.bundle import MANIFEST, describe, song_files, zip_files
from serving.config import ServeConfig
from serving.edge import Edge
from serving.generator import Musician
from serving.orders import ModelFacts, edit_origins, order_edit, order_song, song_origins
from serving.results import ResultStore
from serving.schemas import (
    MAX_PROMPT,
    MIN_SECONDS,
    EditRequest,
    Health,
    Limits,
    Links,
    Manifest,
    ModelCard,
    Origin,
    SongRequest,
    SongResult,
    StemCard,
)
from serving.uploads import read_edit

PAGE = Path(__file__).parent / "page"
ZIP = "song.zip"

_MEDIA = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "json": "application/json",
    "zip": "application/zip",
}


def create_app(config: ServeConfig, musician: Musician) -> FastAPI:
    """The API and the page in front of whoever plays."""
    app = FastAPI(title="MusicGen-Stem", version=version("musicgen-stem-ray"), redoc_url=None)
    app.add_middleware(Edge, max_bytes=int(config.max_upload_mb * 1e6))
    problems.install(app)
    api = Api(config, musician)
    app.add_api_route(
        "/v1/songs",
        api.song,
        methods=["POST"],
        summary="Make a song from text",
        response_class=Response,
        dependencies=[Depends(_needs_json)],
        responses=openapi.finished_song() | openapi.failures(413, 415, 422, 503),
    )
    app.add_api_route(
        "/v1/edits",
        api.edit,
        methods=["POST"],
        summary="Change stems of a song, or add missing ones",
        response_class=Response,
        dependencies=[Depends(_needs_multipart)],
        responses=openapi.finished_song() | openapi.failures(413, 415, 422, 503),
        openapi_extra=openapi.edit_body(),
    )
    app.add_api_route(
        "/v1/results/{result}/{file}",
        api.result,
        summary="One file of a recent result",
        response_class=Response,
        responses=openapi.failures(404),
    )
    app.add_api_route("/v1/model", api.model, summary="The model", responses=openapi.failures(503))
    app.add_api_route("/livez", api.live, summary="Whether the service lives")
    app.add_api_route("/readyz", api.ready, summary="Whether it is ready", responses=openapi.failures(503))
    openapi.install(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


class Api:
    """The routes, and the little that they share."""

    def __init__(self, config: ServeConfig, musician: Musician) -> None:
        self._config, self._musician = config, musician
        self._results = ResultStore(int(config.results_mb * 1e6))

    async def song(self, body: SongRequest, http: Request) -> Response:
        """Make a song from a prompt; the answer is a zip, or links with `Accept: application/json`."""
        facts = await self._musician.facts()
        order = order_song(body, self._max_seconds(facts))
        song = await self._musician.song(order)
        return await self._deliver(song, body, song_origins(facts.layout), facts, http)

    async def edit(self, http: Request) -> Response:
        """Send a whole song as `song`, or one file per stem, and say which stems to play anew.

        Stems that are neither sent nor declared silent are generated.
        """
        facts = await self._musician.facts()
        fields, uploads = await read_edit(http, facts, self._max_seconds(facts))
        order = order_edit(fields, uploads, facts)
        song = await self._musician.edit(order)
        return await self._deliver(song, fields, edit_origins(order, facts.layout), facts, http)

    async def result(self, result: str, file: str) -> Response:
        """A stem, the mix, the manifest or the zip, as named by the links of a result."""
        files = self._results.get(result)
        if files is None:
            raise StemsError(
                "There is no such result any more.",
                "Results are kept for a short while: ask again with the same seed.",
                code="missing",
            )
        if file == ZIP:
            data = await asyncio.to_thread(zip_files, files)
        elif file in files:
            data = files[file]
        else:
            raise StemsError("The result has no such file.", f"It has {', '.join(files)}.", code="missing")
        return Response(data, media_type=_MEDIA[file.rpartition(".")[2]])

    async def model(self) -> ModelCard:
        """Stems, rates, limits and digest of the model that is being served."""
        facts = await self._musician.facts()
        return ModelCard(
            digest=facts.digest,
            stems=[StemCard(name=stem.name, codebooks=stem.codebooks) for stem in facts.layout.stems],
            sample_rate=facts.sample_rate,
            frame_rate=facts.frame_rate,
            separates=facts.separates,
            limits=Limits(
                min_seconds=MIN_SECONDS,
                max_seconds=self._max_seconds(facts),
                max_upload_mb=self._config.max_upload_mb,
                max_prompt_characters=MAX_PROMPT,
                formats=list(FORMATS),
            ),
        )

    async def live(self) -> Health:
        """Answers as long as the process does."""
        return Health(status="live")

    async def ready(self) -> Health:
        """Answers 200 once a model is loaded and can take requests, 503 otherwise."""
        if not await self._musician.ready():
            raise problems.BusyError("No model is loaded yet.", "Try again soon.", code="starting", retry_after=2)
        return Health(status="ready")

    async def _deliver(
        self,
        song: Song,
        request: SongRequest | EditRequest,
        origins: Mapping[str, Origin],
        facts: ModelFacts,
        http: Request,
    ) -> Response:
        def encode() -> tuple[Manifest, dict[str, bytes]]:
            request_id = problems.request_id(http.scope)
            manifest = describe(song, request, origins, model=facts.digest, request_id=request_id)
            return manifest, song_files(song, manifest)

        manifest, files = await asyncio.to_thread(encode)
        headers = {"X-Seed": str(song.seed), "X-Model-Digest": facts.digest}
        if _wants_links(http):
            result = secrets.token_urlsafe(12)
            self._results.put(result, files)
            answer = SongResult(id=result, links=_links(result, manifest), manifest=manifest)
            return JSONResponse(answer.model_dump(), headers=headers)
        data = await asyncio.to_thread(zip_files, files)
        headers["Content-Disposition"] = f'attachment; filename="song-{song.seed}.zip"'
        return Response(data, media_type=_MEDIA["zip"], headers=headers)

    def _max_seconds(self, facts: ModelFacts) -> float:
        return min(self._config.max_seconds, facts.max_seconds)


def _links(result: str, manifest: Manifest) -> Links:
    base = f"/v1/results/{result}"
    return Links(
        zip=f"{base}/{ZIP}",
        mix=f"{base}/{manifest.mix}",
        manifest=f"{base}/{MANIFEST}",
        stems={stem.name: f"{base}/{stem.file}" for stem in manifest.stems},
    )


def _wants_links(http: Request) -> bool:
    accepted = [part.partition(";")[0].strip() for part in http.headers.get("accept", "").lower().split(",")]
    return "application/json" in accepted and "application/zip" not in accepted


def _needs_json(http: Request) -> None:
    _needs_type(http, "application/json")


def _needs_multipart(http: Request) -> None:
    _needs_type(http, "multipart/form-data")


def _needs_type(http: Request, wanted: str) -> None:
    sent = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != wanted:
        raise StemsError(
            f"The content type is '{sent[:80] or 'not given'}'.",
            f"Send {wanted}.",
            code="media_type",
            field="content-type",
        )
