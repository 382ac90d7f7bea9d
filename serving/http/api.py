"""The HTTP API and the page: all routes. No model code, no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.staticfiles import StaticFiles

from serving.config import ServeConfig
from serving.errors import BusyError, no_room
from serving.http import openapi, problems
from serving.http.api_keys import KeyRing
from serving.http.auth import Auth, needs_json, needs_multipart
from serving.http.job_routes import JobRoutes
from serving.http.middleware import RequestGuard
from serving.http.music_routes import MusicRoutes
from serving.http.submission import Submission
from serving.jobs.blob_store import JobFiles, Stores
from serving.jobs.database import open_database
from serving.jobs.job_store import JobStore
from serving.jobs.scheduler import JobScheduler
from serving.jobs.webhooks import WebhookSender
from serving.kinds.registry import KINDS
from serving.kinds.source import SourceKind
from serving.metrics import Meter
from serving.schemas import Health, Job, ModelCard
from serving.workers.backend import ModelBackend

PAGE = Path(__file__).parents[1] / "page"


def create_app(config: ServeConfig, backend: ModelBackend) -> FastAPI:
    """Build the API and the page in front of a model backend."""
    engine = open_database(config.state)
    root = config.results.rstrip("/")
    stores = Stores(JobStore(engine), JobFiles(f"{root}/uploads"), JobFiles(f"{root}/results"))
    meter = Meter()
    scheduler, webhook_sender = JobScheduler(config, backend, stores, meter), WebhookSender(config, stores.jobs)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await scheduler.start()
        await webhook_sender.start()
        yield
        await webhook_sender.stop()
        await scheduler.stop()

    app = FastAPI(title="MusicGen-Stem", version=version("musicgen-stem-ray"), redoc_url=None, lifespan=lifespan)
    keys = KeyRing(engine)
    app.add_middleware(RequestGuard, config=config, keys=keys, meter=meter)
    problems.install(app)
    auth = Auth(config, keys, meter)
    jobs = JobRoutes(scheduler, stores, backend)
    _add_music(app, auth, MusicRoutes(config, backend, Submission(config, scheduler, stores), jobs))
    _add_jobs(app, auth, jobs)
    _add_health(app, backend, scheduler, meter)
    openapi.install(app)
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    return app


def _add_music(app: FastAPI, auth: Auth, routes: MusicRoutes) -> None:
    for kind in KINDS.values():
        body = openapi.form_body(kind) if isinstance(kind, SourceKind) else {}
        app.add_api_route(
            kind.path,
            routes.handler(kind),
            methods=["POST"],
            name=kind.name,
            summary=kind.summary,
            description=kind.description,
            response_class=Response,
            dependencies=[Depends(auth.require_key_and_quota), Depends(needs_multipart if body else needs_json)],
            responses=openapi.music() | openapi.failures(400, 401, 403, 406, 408, 413, 415, 422, 429, 503, 507),
            openapi_extra=openapi.asking() | body,
        )
    _add_get(
        app,
        "/v1/model",
        routes.model,
        response_model=ModelCard,
        summary="The model",
        dependencies=[Depends(auth.require_key)],
        responses=openapi.failures(400, 401, 403, 503),
    )


def _add_get(app: FastAPI, path: str, handler: Callable[..., Any], **about: Any) -> None:
    """Add a route for GET, and for HEAD, which has the same headers without a body."""
    for method in ("GET", "HEAD"):
        app.add_api_route(path, handler, methods=[method], **about)


def _add_jobs(app: FastAPI, auth: Auth, routes: JobRoutes) -> None:
    known = [Depends(auth.require_key)]
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


def _add_health(app: FastAPI, backend: ModelBackend, scheduler: JobScheduler, meter: Meter) -> None:
    async def live() -> Health:
        """Whether the process is alive."""
        return Health(status="live")

    async def ready() -> Health:
        """200 once a model is loaded, warm, and accepts requests; 503 before, 507 if the disk is full."""
        if not await backend.ready():
            raise BusyError("No model is loaded yet.", "Try again soon.", code="starting", retry_after=2)
        if await asyncio.to_thread(scheduler.disk.full):
            raise no_room()
        return Health(status="ready")

    async def metrics() -> Response:
        """Metrics for Prometheus."""
        full = await asyncio.to_thread(scheduler.disk.full)
        figures = meter.render(scheduler.queued, scheduler.running, full)
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
