"""A service in the transport of a client: it answers as told, and remembers what it was asked."""

from __future__ import annotations

import email
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from serving.errors import Problem
from serving.jobs.job_store import JobRecord
from serving.jobs.views import view
from serving.schemas import Manifest, State

Answer = httpx.Response | Exception

ID = "vJ2mOq1cTz6TqFQeVbPpkQ"
MODEL = "9a3f51c20d77"
BEGIN = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()


def job(state: State = "done", **changes: Any) -> dict[str, Any]:
    """The JSON of a job as the service writes it, with ``changes``."""
    done, ended = state == "done", state in ("done", "failed", "cancelled")
    record = replace(
        JobRecord(ID, "song", {"seed": 4711}, [], "", "r1", "f", MODEL, "", 0.0),
        state=state,
        created=BEGIN,
        started=BEGIN,
        ended=BEGIN + 1 if ended else None,
        expires=BEGIN + 86_401 if ended else None,
        frames=100 if done else 0,
        total_frames=100,
        manifest=manifest() if done else None,
    )
    return {**view(record).model_dump(mode="json"), **changes}


def manifest() -> dict[str, Any]:
    """What a finished song says of itself."""
    found = {
        "version": 1,
        "job": ID,
        "task": "song",
        "prompt": "funky bass",
        "seconds": 2.0,
        "sample_rate": 32000,
        "format": "flac",
        "gain": 1.0,
        "seed": 4711,
        "model": MODEL,
        "precision": "float32",
        "guidance": 3.0,
        "temperature": 1.0,
        "top_k": 250,
        "top_p": 0.0,
        "keep": None,
        "region": None,
        "stems": [
            {"name": "bass", "file": "bass.flac", "origin": "generated"},
            {"name": "drums", "file": "drums.flac", "origin": "kept"},
        ],
        "mix": "mix.flac",
    }
    return Manifest.model_validate(found).model_dump(mode="json")


def problem(status: int, type: str = "busy", **more: Any) -> httpx.Response:
    """A failure as the service writes it, with ``more`` in its JSON."""
    headers = more.pop("headers", {})
    failure = Problem(
        type=f"urn:stems:problem:{type}",
        title="It failed",
        status=status,
        detail="It failed so.",
        field="",
        hint="Fix it.",
        request_id="r1",
    )
    return httpx.Response(status, headers=headers, json={**failure.model_dump(mode="json"), **more})


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip of these files, whatever their names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


class Script:
    """Answers one after the other, the last one for ever; an exception is no answer."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], Answer]) -> None:
        self.answers, self.asked = list(answers), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer if isinstance(answer, httpx.Response | Exception) else answer(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)

    @property
    def lines(self) -> list[str]:
        """What was asked, as ``GET /v1/model``."""
        return [f"{request.method} {request.url.path}" for request in self.asked]


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in chunks; an exception among them breaks it off."""

    def __init__(self, *chunks: bytes | BaseException) -> None:
        self.chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def events(*chunks: bytes | BaseException) -> httpx.Response:
    """A stream of server-sent events."""
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Stream(*chunks))


def event(kind: str, data: object, id: int) -> bytes:
    """One server-sent event."""
    return f"event: {kind}\nid: {id}\ndata: {json.dumps(data)}\n\n".encode()


def form(request: httpx.Request) -> list[tuple[str, str | None, bytes]]:
    """The fields of a multipart body: name, name of the file, bytes."""
    head = f"Content-Type: {request.headers['Content-Type']}\n\n".encode()
    fields = []
    for part in email.message_from_bytes(head + request.content).get_payload():
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        data = part.get_payload(decode=True)  # type: ignore[union-attr]
        assert isinstance(data, bytes)
        fields.append((str(name), part.get_filename(), data))  # type: ignore[union-attr]
    return fields
