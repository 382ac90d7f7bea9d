"""The HTTP API and the page: which routes there are. No model code, no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.staticfiles import StaticFiles

from serving import openapi, problems
from serving.conductor import Conductor, Shelf
from serving.config import ServeConfig
from serving.database import open_database
from serving.edge import Edge
from serving.gate import Gate, needs_json, needs_multipart
from serving.intake import Intake
from serving.job_routes import JobRoutes
from serving.job_store import JobStore
from serving.keys import KeyRing
from serving.metrics import Meter
from serving.music_routes import MusicRoutes
from serving.musician import Musician
from serving.results import Files
from serving.schemas import Health, Job, ModelCard
from serving.webhooks import Herald

PAGE = Path(__file__).parent / "page"


def create_app(config: ServeConfig, musician: Musician) -> FastAPI:
    """The API and the page in front of whoever plays."""
    engine = open_database(config.state)
    root = config.results.rstrip("/")
    shelf = Shelf(JobStore(engine), Files(f"{root}/uploads"), Files(f"{root}/results"))
    meter = Meter()
    conductor, herald = Conductor(config, musician, shelf, meter), Herald(config, shelf.jobs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await conductor.start()
        await herald.start()
        yield
        await herald.stop()
        await conductor.stop()

    app = FastAPI(title="MusicGen-Stem", version=version("musicgen-stem-ray"), redoc_url=None, lifespan=lifespan)
    keys = KeyRing(engine)
    app.add_middleware(Edge, config=config, keys=keys, meter=meter)
    problems.install(app)
    gate = Gate(config, keys, meter)
    jobs = JobRoutes(conductor, shelf, musician)
    _add_music(app, gate, MusicRoutes(config, musician, Intake(config, conductor, shelf), jobs))
    _add_jobs(app, gate, jobs)
    _add_health(app, musician, conductor, meter)
    openapi.install(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


def _add_music(app: FastAPI, gate: Gate, routes: MusicRoutes) -> None:
    app.add_api_route(
        "/v1/songs",
        routes.song,
        methods=["POST"],
        summary="Make a song from text",
        response_class=Response,
        dependencies=[Depends(gate.asks_for_music), Depends(needs_json)],
        responses=openapi.music() | openapi.failures(400, 401, 403, 406, 408, 413, 415, 422, 429, 503, 507),
        openapi_extra=openapi.asking(),
    )
    for path, handler, summary, body in (
        ("/v1/edits", routes.edit, "Change stems of a song, or add missing ones", openapi.edit_body()),
        ("/v1/variations", routes.variation, "Give a stem another texture", openapi.variation_body()),
    ):
        app.add_api_route(
            path,
            handler,
            methods=["POST"],
            summary=summary,
            response_class=Response,
            dependencies=[Depends(gate.asks_for_music), Depends(needs_multipart)],
            responses=openapi.music() | openapi.failures(400, 401, 403, 406, 408, 413, 415, 422, 429, 503, 507),
            openapi_extra=openapi.asking() | body,
        )
    _add_get(
        app,
        "/v1/model",
        routes.model,
        response_model=ModelCard,
        summary="The model",
        dependencies=[Depends(gate.knows)],
        responses=openapi.failures(400, 401, 403, 503),
    )


def _add_get(app: FastAPI, path: str, handler: Callable[..., Any], **about: Any) -> None:
    """A route for GET, and for HEAD, which answers the same without a body."""
    for method in ("GET", "HEAD"):
        app.add_api_route(path, handler, methods=[method], **about)


def _add_jobs(app: FastAPI, gate: Gate, routes: JobRoutes) -> None:
    known = [Depends(gate.knows)]
    _add_get(
        app,
        "/v1/jobs/{job}",
        routes.job,
        summary="How a job stands",
        response_model=Job,
        dependencies=known,
        responses=openapi.failures(400, 401, 403, 404),
        openapi_extra=openapi.waiting(),
    )
    app.add_api_route(
        "/v1/jobs/{job}",
        routes.remove,
        methods=["DELETE"],
        status_code=204,
        response_class=Response,
        summary="Cancel a job, or forget one that has ended",
        dependencies=known,
        responses=openapi.failures(400, 401, 403, 404),
    )
    app.add_api_route(
        "/v1/jobs/{job}/events",
        routes.events,
        response_class=Response,
        summary="What happens to a job, as it happens",
        dependencies=known,
        responses=openapi.event_stream() | openapi.failures(400, 401, 403, 404, 422),
    )
    _add_get(
        app,
        "/v1/results/{job}/{file}",
        routes.result,
        response_class=Response,
        summary="One file of a result",
        dependencies=known,
        responses=openapi.one_file() | openapi.failures(400, 401, 403, 404, 416),
        openapi_extra=openapi.parts(),
    )


def _add_health(app: FastAPI, musician: Musician, conductor: Conductor, meter: Meter) -> None:
    async def live() -> Health:
        """Answers as long as the process does."""
        return Health(status="live")

    async def ready() -> Health:
        """Answers 200 once a model is loaded, warm, and can take requests; 503, or 507 where the disk is full."""
        if not await musician.ready():
            raise problems.BusyError("No model is loaded yet.", "Try again soon.", code="starting", retry_after=2)
        if await asyncio.to_thread(conductor.room.full):
            raise problems.no_room()
        return Health(status="ready")

    async def metrics() -> Response:
        """Figures for Prometheus."""
        full = await asyncio.to_thread(conductor.room.full)
        figures = meter.render(conductor.queued, conductor.playing, full)
        return Response(figures, media_type="text/plain; version=0.0.4")

    _add_get(app, "/livez", live, summary="Whether the service lives", responses=openapi.failures(400, 403))
    _add_get(app, "/readyz", ready, summary="Whether it is ready", responses=openapi.failures(400, 403, 503, 507))
    _add_get(
        app,
        "/metrics",
        metrics,
        response_class=Response,
        summary="Figures for Prometheus",
        responses=openapi.figures() | openapi.failures(400, 403),
    )
