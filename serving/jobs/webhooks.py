"""Posts to webhooks that their job has ended, signed as Standard Webhooks describe, and only to allowed hosts."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import time
from urllib.parse import urlsplit

import httpx

from models.errors import StemsError
from serving.config import ServeConfig
from serving.jobs.job_store import JobRecord, JobStore
from serving.jobs.views import view

log = logging.getLogger(__name__)

PREFIX = "whsec_"
_LOOK_S, _TIMEOUT_S = 1.0, 10.0
_PAUSES_S = (5, 30, 120, 600, 1800)
"""Seconds before each further try."""


def check_webhook(address: str, hosts: tuple[str, ...]) -> None:
    """Refuse an address that is not a URL, or whose host the operator has not allowed."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise StemsError("The webhook is not a URL.", "Use https://HOST/PATH.", field="webhook") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
        raise StemsError("The webhook is not a URL.", "Use https://HOST/PATH.", field="webhook")
    named = parts.hostname if port is None else f"{parts.hostname}:{port}"
    if named not in hosts:
        raise StemsError(
            f"Webhooks to '{named[:80]}' are not allowed.",
            "Ask the operator to add the host to webhook_hosts.",
            field="webhook",
        )


def signing_key(secret: str) -> bytes:
    """The key in ``whsec_…``; StemsError if it is not valid."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < 24 or not secret.startswith(PREFIX):
        raise StemsError(
            "The webhook secret is not valid.",
            f"Use {PREFIX} and the base64 of at least 24 random bytes.",
            field="webhook_secret",
        )
    return key


def signature(key: bytes, message: str, moment: int, body: bytes) -> str:
    """The signature of a body and the time when it is sent."""
    signed = hmac.digest(key, f"{message}.{moment}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed).decode()


class WebhookSender:
    """Posts to webhooks that are due; tries again, for about 40 minutes, until they answer with 2xx."""

    def __init__(self, config: ServeConfig, store: JobStore) -> None:
        self._hosts, self._store = config.webhook_hosts, store
        self._prefix = config.root_path + config.route_prefix.rstrip("/")
        self._key = signing_key(config.webhook_secret) if self._hosts else b""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start sending, if the settings allow any webhook."""
        if self._hosts:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; pending webhooks stay pending."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as http:
            while True:
                try:
                    due = await asyncio.to_thread(self._store.due_webhooks, time.time())
                    await asyncio.gather(*(self._post(http, job) for job in due))
                except Exception:  # a database that is away for a moment; the next turn will do it
                    log.exception("Due webhooks could not be read.")
                await asyncio.sleep(_LOOK_S)

    async def _post(self, http: httpx.AsyncClient, job: JobRecord) -> None:
        address = str(job.request["webhook"])
        try:
            check_webhook(address, self._hosts)  # the list may have changed since
            body, moment = view(job, self._prefix).model_dump_json().encode(), int(time.time())
            headers = {
                "content-type": "application/json",
                "webhook-id": job.id,
                "webhook-timestamp": str(moment),
                "webhook-signature": signature(self._key, job.id, moment, body),
            }
            answer = await http.post(address, content=body, headers=headers)
            delivered = answer.is_success
        except StemsError:
            delivered = True  # there is nowhere to deliver it any more
        except httpx.HTTPError:
            delivered = False
        if delivered or job.webhook_tries >= len(_PAUSES_S):
            if not delivered:
                log.warning("The webhook of job %s was not reached.", job.id)
            await asyncio.to_thread(self._store.webhook_done, job.id)
        else:
            due = time.time() + _PAUSES_S[job.webhook_tries]
            await asyncio.to_thread(self._store.webhook_later, job.id, due)
