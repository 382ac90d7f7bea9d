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
from serving.asked import Wanted, wait_seconds
from serving.bundle import KEPT
from serving.conductor import Conductor, Shelf
from serving.config import ServeConfig
from serving.job_store import JobRecord
from serving.orders import ModelFacts, check_edit, check_song
from serving.problems import request_id
from serving.schemas import AnyRequest, EditRequest, Kind, MaterialFields, SongRequest, VariationRequest
from serving.uploads import Upload, decode, read_form
from serving.webhooks import check_webhook

MOST_KEY = 255


class Intake:
    """Lets requests for music in."""

    def __init__(self, config: ServeConfig, conductor: Conductor, shelf: Shelf) -> None:
        self._config, self._conductor, self._shelf = config, conductor, shelf

    async def song(self, body: SongRequest, http: Request, wanted: Wanted, facts: ModelFacts) -> JobRecord:
        """A song from text."""
        check_song(body, min(self._config.max_seconds, facts.max_seconds))
        return await self._accept("song", body, {}, http, wanted, facts)

    async def form(
        self, kind: type[EditRequest] | type[VariationRequest], http: Request, wanted: Wanted, facts: ModelFacts
    ) -> JobRecord:
        """An edit or a variation. Its body is read only if there is room for it."""
        self._conductor.check_room(inline=wait_seconds(http.headers) > 0)
        longest = min(self._config.max_seconds, facts.max_seconds)
        fields, uploads = await read_form(http, kind, facts, longest)
        if fields.of is not None:
            uploads = await asyncio.to_thread(self._earlier, fields, http.state.owner, facts)
        check_edit(fields, {name: upload.audio for name, upload in uploads.items()}, facts)
        name: Kind = "edit" if isinstance(fields, EditRequest) else "variation"
        return await self._accept(name, fields, uploads, http, wanted, facts)

    def _earlier(self, fields: MaterialFields, owner: str, facts: ModelFacts) -> dict[str, Upload]:
        """The stems of an earlier result, except those that are to be silent now."""
        job = self._shelf.jobs.get(str(fields.of))
        if job is None or job.owner != owner or job.state != "done":
            raise StemsError(
                "There is no such job, or it is not done.", "Name a job whose state is done.", field="of"
            )
        silent = fields.silent if isinstance(fields, EditRequest) else []
        uploads = {}
        for name in facts.layout.names:
            data = None if name in silent else self._shelf.results.get(job.id, f"{name}.{KEPT}")
            if data is not None:
                uploads[name] = Upload(data, decode(data, "of", name, facts.max_seconds))
        return uploads

    async def _accept(
        self,
        kind: Kind,
        request: AnyRequest,
        uploads: Mapping[str, Upload],
        http: Request,
        wanted: Wanted,
        facts: ModelFacts,
    ) -> JobRecord:
        if request.webhook is not None:
            check_webhook(request.webhook, self._config.webhook_hosts)
        idempotency, fingerprint = _idempotency(http), _fingerprint(kind, request, uploads)
        owner = http.state.owner
        earlier = await asyncio.to_thread(self._shelf.jobs.named, owner, idempotency, fingerprint)
        if earlier is not None:
            return earlier
        inline = wait_seconds(http.headers) > 0
        self._conductor.check_room(inline=inline)  # costs less than to look at the disks
        await asyncio.to_thread(self._conductor.room.check, _bytes_of(request, uploads, facts))
        seed = secrets.randbelow(MAX_SEED) if request.seed is None else request.seed
        complete = request.model_copy(update={"seed": seed, "format": request.format or wanted.format or "wav"})
        job = JobRecord(
            id=secrets.token_urlsafe(16),
            kind=kind,
            request=complete.model_dump(mode="json") | _region(complete),
            sources=list(uploads),
            owner=owner,
            request_id=request_id(http.scope),
            fingerprint=fingerprint,
            model=facts.digest,
            keeper="",
            lease=0.0,
            inline=inline,
            idempotency=idempotency,
            trace=tracing.here(),
        )
        with self._conductor.place(inline=inline):
            return await self._conductor.accept(job, {name: upload.data for name, upload in uploads.items()})


def _bytes_of(request: AnyRequest, uploads: Mapping[str, Upload], facts: ModelFacts) -> float:
    """What a job takes on disk at most: what was sent, and stems and mix in 16 bits."""
    lengths = [upload.audio.seconds for upload in uploads.values()]
    seconds = request.seconds if isinstance(request, SongRequest) else max(lengths, default=0.0)
    results = seconds * facts.sample_rate * 2 * (len(facts.layout.names) + 1)
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
