"""Turn an HTTP request into a stored job, with a seed, a format and an owner."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from models.errors import StemsError
from models.request_bounds import MAX_SEED
from serving import tracing
from serving.config import ServeConfig
from serving.http.negotiation import PreferredResponse
from serving.http.problems import request_id
from serving.http.uploads import Upload, decode, read_form
from serving.jobs.artifacts import CODES, KEPT
from serving.jobs.blob_store import Stores
from serving.jobs.job_store import JobRecord
from serving.jobs.scheduler import JobScheduler
from serving.jobs.webhooks import check_webhook
from serving.kinds.kind import Kind, MusicRequest
from serving.kinds.source import SourceKind, SourceRequest
from serving.schemas import Manifest
from serving.workers.protocol import ModelInfo


class Submission:
    """Turns requests for music into jobs."""

    def __init__(self, config: ServeConfig, scheduler: JobScheduler, stores: Stores) -> None:
        self._config, self._scheduler, self._stores = config, scheduler, stores

    async def json(
        self, kind: Kind[Any], body: MusicRequest, http: Request, preferred: PreferredResponse, info: ModelInfo
    ) -> JobRecord:
        """Accept a request that came as JSON."""
        return await self._accept(kind, body, {}, http, preferred, info)

    async def form(
        self, kind: SourceKind[Any], http: Request, preferred: PreferredResponse, info: ModelInfo
    ) -> JobRecord:
        """Accept a request that comes as a form. Its body is read only if there is room for it."""
        self._scheduler.check_room(client_waits=preferred.wait > 0)
        request, uploads = await read_form(http, kind, info, self._longest(info))
        codes = None
        if request.of is not None:
            uploads, codes = await asyncio.to_thread(self._earlier, kind, request, http.state.owner, info)
        return await self._accept(kind, request, uploads, http, preferred, info, codes)

    def _longest(self, info: ModelInfo) -> float:
        return min(self._config.max_seconds, info.max_seconds)

    def _earlier(
        self, kind: SourceKind[Any], request: SourceRequest, owner: str, info: ModelInfo
    ) -> tuple[dict[str, Upload], bytes | None]:
        """The stems that a request uses from an earlier result, and its codes if they are from this model."""
        job = self._stores.jobs.get(str(request.of))
        if job is None or job.owner != owner or job.state != "done":
            raise StemsError(
                "There is no such job, or it is not done.", "Name a job whose state is done.", field="of"
            )
        uploads = {}
        for name in kind.uses(request, info.layout):
            data = self._stores.results.get(job.id, f"{name}.{KEPT}")
            if data is not None:
                uploads[name] = Upload(data, decode(data, "of", name, info.max_seconds))
        manifest = Manifest.model_validate(job.manifest)
        same = manifest.model == info.digest and manifest.gain == 1
        return uploads, self._stores.results.get(job.id, CODES) if same else None

    async def _accept(
        self,
        kind: Kind[Any],
        request: MusicRequest,
        uploads: Mapping[str, Upload],
        http: Request,
        preferred: PreferredResponse,
        info: ModelInfo,
        codes: bytes | None = None,
    ) -> JobRecord:
        sounds = {name: upload.audio for name, upload in uploads.items()}
        kind.check(request, sounds, info, self._longest(info))
        if request.webhook is not None:
            check_webhook(request.webhook, self._config.webhook_hosts)
        owner, client_waits = http.state.owner, preferred.wait > 0
        fingerprint = _fingerprint(kind.name, request, uploads)
        earlier = await asyncio.to_thread(self._stores.jobs.named, owner, preferred.idempotency, fingerprint)
        if earlier is not None:
            return earlier
        self._scheduler.check_room(client_waits=client_waits)  # costs less than to look at the disks
        needed = _bytes(kind.seconds(request, sounds), uploads, info)
        await asyncio.to_thread(self._scheduler.disk.check, needed)
        sources = {name: upload.data for name, upload in uploads.items()} | ({CODES: codes} if codes else {})
        seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
        complete = request.model_copy(update={"seed": seed, "format": request.format or preferred.format or "wav"})
        job = JobRecord(
            id=secrets.token_urlsafe(16),
            kind=kind.name,
            request=complete.model_dump(mode="json"),
            sources=list(sources),
            owner=owner,
            request_id=request_id(http.scope),
            fingerprint=fingerprint,
            model=info.digest,
            lease_holder="",
            lease=0.0,
            client_waits=client_waits,
            idempotency=preferred.idempotency,
            trace=tracing.here(),
        )
        with self._scheduler.reserve(client_waits=client_waits):
            return await self._scheduler.accept(job, sources)


def _bytes(seconds: float, uploads: Mapping[str, Upload], info: ModelInfo) -> float:
    """Upper bound of a job's disk space: uploads, and stems and mix in 16 bits."""
    results = seconds * info.sample_rate * 2 * (len(info.layout.names) + 1)
    return results + sum(len(upload.data) for upload in uploads.values())


def _fingerprint(kind: str, request: MusicRequest, uploads: Mapping[str, Upload]) -> str:
    sha = hashlib.sha256(json.dumps([kind, request.model_dump(mode="json")], sort_keys=True).encode())
    for name, upload in uploads.items():
        sha.update(name.encode() + hashlib.sha256(upload.data).digest())
    return sha.hexdigest()
