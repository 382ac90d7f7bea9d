"""A service in the transport of a client: it answers as told, and remembers what it was asked."""

from __future__ import annotations

import email
import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

Answer = httpx.Response | Exception

ID = "vJ2mOq1cTz6TqFQeVbPpkQ"


def job(state: str = "done", **changes: Any) -> dict[str, Any]:
    """A job, as the service tells it."""
    base = f"/v1/results/{ID}"
    files = {
        "zip": f"{base}/song.zip",
        "mix": f"{base}/mix.flac",
        "manifest": f"{base}/manifest.json",
        "stems": {name: f"{base}/{name}.flac" for name in ("bass", "drums")},
    }
    none: dict[str, Any] = {"zip": None, "mix": None, "manifest": None, "stems": {}}
    told = {
        "id": ID,
        "kind": "song",
        "state": state,
        "frames": 100 if state == "done" else 0,
        "of": 100,
        "seed": 4711,
        "model": "9a3f51c20d77",
        "created": "2026-01-05T12:00:00Z",
        "started": "2026-01-05T12:00:00Z",
        "ended": "2026-01-05T12:00:01Z" if state in ("done", "failed", "cancelled") else None,
        "expires": "2026-01-06T12:00:01Z" if state in ("done", "failed", "cancelled") else None,
        "problem": None,
        "manifest": manifest() if state == "done" else None,
        "links": {
            "self": f"/v1/jobs/{ID}",
            "events": f"/v1/jobs/{ID}/events",
            **(files if state == "done" else none),
        },
    }
    return {**told, **changes}


def manifest() -> dict[str, Any]:
    """What a finished song says of itself."""
    return {
        "version": 1,
        "job": ID,
        "task": "song",
        "prompt": "funky bass",
        "seconds": 2.0,
        "sample_rate": 32000,
        "format": "flac",
        "gain": 1.0,
        "seed": 4711,
        "model": "9a3f51c20d77",
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


def problem(status: int, type: str = "busy", **more: Any) -> httpx.Response:
    """A failure, as the service tells it."""
    headers = more.pop("headers", {})
    said = {
        "type": f"urn:stems:problem:{type}",
        "title": "It failed",
        "status": status,
        "detail": "It failed so.",
        "field": "",
        "hint": "Mend it.",
        "request_id": "r1",
        **more,
    }
    return httpx.Response(status, headers=headers, json=said)


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
