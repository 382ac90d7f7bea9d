"""From an HTTP request to a job that is stored: checked, with a seed, a format and an owner."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Mapping

from starlette.requests import Request

from models.errors import StemsError
from models.request_bounds import MAX_SEED
from serving import tracing
from serving.config import ServeConfig
from serving.http.negotiation import PreferredResponse, wait_seconds
from serving.http.problems import request_id
from serving.http.uploads import Upload, decode, read_form
from serving.jobs.artifacts import KEPT
from serving.jobs.blob_store import Stores
from serving.jobs.job_store import JobRecord
from serving.jobs.scheduler import JobScheduler
from serving.jobs.webhooks import check_webhook
from serving.schemas import AnyRequest, EditRequest, Kind, MaterialFields, SongRequest, VariationRequest
from serving.workers.protocol import ModelInfo, check_edit, check_song

MOST_KEY = 255


class Submission:
    """Lets requests for music in."""

    def __init__(self, config: ServeConfig, scheduler: JobScheduler, stores: Stores) -> None:
        self._config, self._scheduler, self._stores = config, scheduler, stores

    async def song(
        self, body: SongRequest, http: Request, preferred: PreferredResponse, info: ModelInfo
    ) -> JobRecord:
        """A song from text."""
        check_song(body, min(self._config.max_seconds, info.max_seconds))
        return await self._accept("song", body, {}, http, preferred, info)

    async def form(
        self,
        kind: type[EditRequest] | type[VariationRequest],
        http: Request,
        preferred: PreferredResponse,
        info: ModelInfo,
    ) -> JobRecord:
        """An edit or a variation. Its body is read only if there is room for it."""
        self._scheduler.check_room(client_waits=wait_seconds(http.headers) > 0)
        longest = min(self._config.max_seconds, info.max_seconds)
        fields, uploads = await read_form(http, kind, info, longest)
        if fields.of is not None:
            uploads = await asyncio.to_thread(self._earlier, fields, http.state.owner, info)
        check_edit(fields, {name: upload.audio for name, upload in uploads.items()}, info)
        name: Kind = "edit" if isinstance(fields, EditRequest) else "variation"
        return await self._accept(name, fields, uploads, http, preferred, info)

    def _earlier(self, fields: MaterialFields, owner: str, info: ModelInfo) -> dict[str, Upload]:
        """The stems of an earlier result, except those that are to be silent now."""
        job = self._stores.jobs.get(str(fields.of))
        if job is None or job.owner != owner or job.state != "done":
            raise StemsError(
                "There is no such job, or it is not done.", "Name a job whose state is done.", field="of"
            )
        silent = fields.silent if isinstance(fields, EditRequest) else []
        uploads = {}
        for name in info.layout.names:
            data = None if name in silent else self._stores.results.get(job.id, f"{name}.{KEPT}")
            if data is not None:
                uploads[name] = Upload(data, decode(data, "of", name, info.max_seconds))
        return uploads

    async def _accept(
        self,
        kind: Kind,
        request: AnyRequest,
        uploads: Mapping[str, Upload],
        http: Request,
        preferred: PreferredResponse,
        info: ModelInfo,
    ) -> JobRecord:
        if request.webhook is not None:
            check_webhook(request.webhook, self._config.webhook_hosts)
        idempotency, fingerprint = _idempotency(http), _fingerprint(kind, request, uploads)
        owner = http.state.owner
        earlier = await asyncio.to_thread(self._stores.jobs.named, owner, idempotency, fingerprint)
        if earlier is not None:
            return earlier
        client_waits = wait_seconds(http.headers) > 0
        self._scheduler.check_room(client_waits=client_waits)  # costs less than to look at the disks
        await asyncio.to_thread(self._scheduler.disk.check, _bytes_of(request, uploads, info))
        seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
        complete = request.model_copy(update={"seed": seed, "format": request.format or preferred.format or "wav"})
        job = JobRecord(
            id=secrets.token_urlsafe(16),
            kind=kind,
            request=complete.model_dump(mode="json") | _region(complete),
            sources=list(uploads),
            owner=owner,
            request_id=request_id(http.scope),
            fingerprint=fingerprint,
            model=info.digest,
            lease_holder="",
            lease=0.0,
            client_waits=client_waits,
            idempotency=idempotency,
            trace=tracing.here(),
        )
        with self._scheduler.reserve(client_waits=client_waits):
            return await self._scheduler.accept(job, {name: upload.data for name, upload in uploads.items()})


def _bytes_of(request: AnyRequest, uploads: Mapping[str, Upload], info: ModelInfo) -> float:
    """What a job takes on disk at most: what was sent, and stems and mix in 16 bits."""
    lengths = [upload.audio.seconds for upload in uploads.values()]
    seconds = request.seconds if isinstance(request, SongRequest) else max(lengths, default=0.0)
    results = seconds * info.sample_rate * 2 * (len(info.layout.names) + 1)
    return results + sum(len(upload.data) for upload in uploads.values())


def _region(request: AnyRequest) -> dict[str, str]:
    """As it is written in requests, so that it is read again."""
    region = request.region if isinstance(request, MaterialFields) else None
    return {} if region is None else {"region": f"{region[0]!r}-{region[1]!r}"}


def _idempotency(http: Request) -> str | None:
    key = http.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MOST_KEY and key.isprintable()):
        raise StemsError(
            "The Idempotency-Key is empty or too long.", f"Use 1 to {MOST_KEY} characters.", field="idempotency-key"
        )
    return key


def _fingerprint(kind: Kind, request: AnyRequest, uploads: Mapping[str, Upload]) -> str:
    sha = hashlib.sha256(json.dumps([kind, request.model_dump(mode="json")], sort_keys=True).encode())
    for name, upload in uploads.items():
        sha.update(name.encode() + hashlib.sha256(upload.data).digest())
    return sha.hexdigest()
