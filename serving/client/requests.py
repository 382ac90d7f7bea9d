"""Builds HTTP requests: method, path, headers, body. A built request can be sent repeatedly."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from models.audio.stem_files import stem_of
from models.errors import StemsError
from models.request_bounds import is_text
from serving.client.sounds import named_sounds, read_sound
from serving.kinds.registry import KINDS
from serving.schemas import Job

_JSON = {"Accept": "application/json"}

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_LINK = re.compile(r"(?:/[A-Za-z0-9._~-]+)*?(/v1/.+)")

Part = tuple[str, tuple[str | None, bytes]]
"""A field of a form: its name, the name of the file (None for plain text), and its bytes."""


@dataclass(frozen=True)
class Ask:
    """One request.

    Args:
        method: of HTTP.
        path: under the service's address.
        headers: beside those of every request.
        json: the body, as JSON.
        form: the body, as multipart.
        wait: seconds that the service may let it wait on purpose.
        repeatable: whether it may be sent again although the service may have acted on it.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, object] | None = None
    form: tuple[Part, ...] = ()
    wait: float = 0.0
    repeatable: bool = True

    def build(self, http: httpx.Client | httpx.AsyncClient, timeout: float) -> httpx.Request:
        """The request in httpx's form."""
        patience = httpx.Timeout(timeout, read=timeout + self.wait)
        form = list(self.form) or None
        headers = dict(self.headers)
        return http.build_request(
            self.method, self.path, headers=headers, json=self.json, files=form, timeout=patience
        )


def json(kind: str, fields: Mapping[str, Any]) -> Ask:
    """A request for music of a kind that is sent as JSON."""
    _text(fields["prompt"])
    return Ask("POST", KINDS[kind].path, _posting(), json={name: v for name, v in fields.items() if v is not None})


def form(kind: str, fields: Mapping[str, Any]) -> Ask:
    """A request for music of a kind that is sent as a form; reads the files that it is given.

    Raises:
        StemsError: names the field at fault.
    """
    texts = {name: value for name, value in fields.items() if value is not None}
    _text(texts["prompt"])
    song, stems = texts.pop("song", None), texts.pop("stems", None)
    parts: list[Part] = [] if song is None else [("song", read_sound(song, "song"))]
    if stems is not None:
        # A folder holds all stems; those that are to fall silent need not be sent, and may not.
        unsent = () if isinstance(stems, Mapping) else _names(texts.get("silent", ()))
        sounds = named_sounds(stems)
        parts += [(name, read_sound(sound, name)) for name, sound in sounds.items() if stem_of(name, unsent) is None]
    if "of" in texts:
        texts["of"] = job_id(texts["of"])
    if "region" in texts:
        texts["region"] = region_text(texts["region"])
    for name, value in texts.items():
        values = _names(value) if isinstance(value, Iterable) else (value,)
        parts += [(name, (None, str(one).encode())) for one in values]
    return Ask("POST", KINDS[kind].path, _posting(), form=tuple(parts))


def look(job: Job | str, wait: int = 0) -> Ask:
    """A job's state, now or within ``wait`` seconds."""
    waiting = {"Prefer": f"wait={wait}"} if wait else {}
    return Ask("GET", _job_path(job), {**_JSON, **waiting}, wait=wait)


def events(job: Job | str, audio: bool, last_id: str) -> Ask:
    """The stream of a job's events after the last received one."""
    last = {"Last-Event-ID": last_id} if last_id else {}
    path = f"{_job_path(job)}/events" + ("?audio=true" if audio else "")
    return Ask("GET", path, {"Accept": "text/event-stream", "Cache-Control": "no-store", **last})


def removal(job: Job | str) -> Ask:
    """Cancel a running job, or delete an ended one. Never retried: the second request would delete the job."""
    return Ask("DELETE", _job_path(job), _JSON, repeatable=False)


def file(link: str) -> Ask:
    """A file of a result. StemsError for a link that points outside the service.

    A link begins with the path under which the service sees itself; the client goes by the address that it has.
    """
    found = _LINK.fullmatch(link)
    if not found:
        raise StemsError(
            f"The link '{link[:80]}' points outside the service.",
            "Use a link from this service's job.",
            field="links",
        )
    return Ask("GET", found[1], {"Accept": "*/*"})


def model() -> Ask:
    """The model that is being served."""
    return Ask("GET", "/v1/model", _JSON)


def ready() -> Ask:
    """Whether the service takes requests."""
    return Ask("GET", "/readyz", _JSON)


def region_text(region: tuple[float, float]) -> str:
    """``(0.5, 2.5)`` -> ``"0.5-2.5"``; StemsError where it is not a stretch of time."""
    start, end = map(float, region)
    if not (math.isfinite(end) and 0 <= start < end):
        raise StemsError(f"The region {start:g} to {end:g} is empty.", "Give 0 <= start < end.", field="region")
    # Not through %g, which rounds, nor as is: an exponent's minus would read as the dash.
    return "-".join(format(Decimal(repr(edge)).normalize(), "f") for edge in (start, end))


def job_id(job: Job | str) -> str:
    """The id of a job; StemsError where it cannot be one."""
    name = job if isinstance(job, str) else job.id
    if not _ID.fullmatch(name):
        raise StemsError(f"'{name[:80]}' is not a job id.", "Use the id that the service returned.", field="id")
    return name


def _job_path(job: Job | str) -> str:
    return f"/v1/jobs/{job_id(job)}"


def _posting() -> dict[str, str]:
    # With one key the service makes one job, however often the request reaches it.
    return {**_JSON, "Idempotency-Key": str(uuid4())}


def _text(prompt: str) -> str:
    if not is_text(prompt):
        raise StemsError("The prompt holds characters that are not text.", "Type it again.", field="prompt")
    return prompt


def _names(value: Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
