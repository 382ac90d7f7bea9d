"""The parts of the OpenAPI document that FastAPI cannot derive: problems, zips and the multipart form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from models.audio.formats import listed_suffixes
from serving.errors import Problem
from serving.http import problems
from serving.http.negotiation import MOST_KEY
from serving.jobs.artifacts import ZIP
from serving.kinds.source import SourceKind
from serving.schemas import Job

_REF = "#/components/schemas/{model}"
_BINARY = {"type": "string", "format": "binary"}

SUMMARY = """Music in stems: from text, or around stems that you have.

Every request for music becomes a job. With `Prefer: wait=N` the answer is what comes of it: a zip of the stems, their
mix and `manifest.json`, or by `Accept` the mix alone, or the job with links.

Failures are `application/problem+json` and name the field at fault."""

_PROBLEMS = {
    400: "A header is not for clients, or the request is malformed.",
    401: "There is no API key, or it is not known.",
    403: "There are no keys, and the request comes from a page of another site or names another host.",
    404: "The resource does not exist, or the service has deleted it.",
    406: "None of the media types in Accept can be given.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "The content type is not supported, or an upload is not audio.",
    416: "The file has no such part; Content-Range says how long it is.",
    422: "A field is wrong; the answer names it.",
    429: "You ask too often; Retry-After says when to try again.",
    503: "The service is busy or starting; Retry-After says when to try again.",
    507: "The disk of the service is full.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route for these statuses."""
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": _PROBLEMS[status], "content": content} for status in statuses
    }
    retry = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    for status in responses.keys() & {429, 503}:
        responses[status] = {**responses[status], "headers": retry}
    return responses


def music() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that creates a job: its result, or the job."""
    headers = {
        "X-Seed": {"description": "The seed that is used.", "schema": {"type": "integer"}},
        "X-Model-Digest": {"description": "The model that plays.", "schema": {"type": "string"}},
        "X-Job-Id": {"description": "The job.", "schema": {"type": "string"}},
        "X-Request-Id": {"description": "The id of this request.", "schema": {"type": "string"}},
    }
    job = {"application/json": {"schema": {"$ref": _REF.format(model="Job")}}}
    sounds = ("application/zip", "audio/wav", "audio/flac", "audio/opus", "audio/ogg", "audio/mpeg")
    content = {kind: {"schema": _BINARY} for kind in sounds}
    location = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
    done = {"description": "The song, or the job that has made it.", "headers": headers, "content": content | job}
    goes_on = {"description": "The job, which goes on.", "headers": headers | location, "content": job}
    return {200: done | _links("$response.header.X-Job-Id"), 202: goes_on | _links("$response.body#/id")}


def _links(job: str) -> dict[str, Any]:
    """OpenAPI links from a job's id to its routes."""

    def link(method: str, path: str, **parameters: str) -> dict[str, Any]:
        place = f"#/paths/{path.replace('/', '~1')}/{method}"
        return {"operationRef": place, "parameters": {"job": job} | parameters}

    return {
        "links": {
            "job": link("get", "/v1/jobs/{job}"),
            "events": link("get", "/v1/jobs/{job}/events"),
            "zip": link("get", "/v1/results/{job}/{file}", file=ZIP),
            "remove": link("delete", "/v1/jobs/{job}"),
        }
    }


def event_stream() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a stream of events; the schema is that of each event."""
    kinds = {"type": "string", "enum": ["job", "progress", "audio", "end"]}
    text = {"type": "string"}
    event = {
        "type": "object",
        "properties": {"id": text, "event": kinds, "data": text},
        "required": ["event", "data"],
    }
    return {200: {"description": "The events.", "content": {"text/event-stream": {"schema": event}}}}


def one_file() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a result file: whole, a range, or not modified."""
    text = {"type": "string"}
    tag = {"ETag": {"description": "Names these bytes.", "schema": text}}
    length = {"Content-Range": {"description": "Which part of the file.", "schema": text}}
    content = {"*/*": {"schema": _BINARY}}
    return {
        200: {"description": "The file.", "headers": tag, "content": content},
        206: {"description": "The part in Range.", "headers": tag | length, "content": content},
        304: {"description": "The client has the file in If-None-Match.", "headers": tag},
    }


def parts() -> dict[str, Any]:
    """The headers of a request for a file of a result."""
    about = {
        "Range": "`bytes=FIRST-LAST`: this part only. Of several parts the whole file is sent.",
        "If-Range": "An ETag: the part only if the file is still the same, else all of it.",
        "If-None-Match": "ETags that the client has: 304 where the file is one of these.",
    }
    return {"parameters": [_header(name, text, {}) for name, text in about.items()]}


def figures() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of the metrics route."""
    return {200: {"description": "The figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}}


def waiting() -> dict[str, Any]:
    """The header by which a client waits."""
    about = "`wait=N`: hold the answer back for up to N seconds, until the job has ended."
    return {"parameters": [_header("Prefer", about, {})]}


def asking() -> dict[str, Any]:
    """The headers of a request for music."""
    about = "The client's own name of this request: repeated, it makes no second job."
    key = _header("Idempotency-Key", about, {"minLength": 1, "maxLength": MOST_KEY})
    return {"parameters": [*waiting()["parameters"], key]}


def _header(name: str, about: str, bounds: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "string"} | bounds
    return {"in": "header", "name": name, "required": False, "schema": schema, "description": about}


def form_body(kind: SourceKind[Any]) -> dict[str, Any]:
    """The request body of a kind that comes as a form. It is read by hand: its file names depend on the model."""
    schema = kind.request.model_json_schema()
    schema["properties"] = {name: _without_null(field) for name, field in schema["properties"].items()}
    song = {
        **_BINARY,
        "description": f"A whole song ({listed_suffixes()}), which is separated first. Or send its stems.",
    }
    schema["properties"] = {"song": song, **schema["properties"]}
    schema["additionalProperties"] = {**_BINARY, "description": "One audio file per stem, named by the stem."}
    form = {"schema": schema, "example": schema.pop("example")}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A form knows no null: a field that has no value is left out."""
    kinds = [kind for kind in field.get("anyOf", ()) if kind != {"type": "null"}]
    return field if len(kinds) != 1 else {k: v for k, v in field.items() if k not in ("anyOf", "default")} | kinds[0]


def install(app: FastAPI) -> None:
    """Complete ``app.openapi()`` and remove FastAPI's wrong defaults."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=SUMMARY, routes=app.routes)
            _drop_default_failures(schema)
            _drop_bodies(schema)
            schema["components"]["schemas"] |= _schemas(Problem, Job)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    _, schema = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    return dict(schema["$defs"])


def _drop_bodies(schema: dict[str, Any]) -> None:
    """Remove bodies from HEAD responses."""
    for path in schema["paths"].values():
        for response in path.get("head", {"responses": {}})["responses"].values():
            response.pop("content", None)


def _drop_default_failures(schema: dict[str, Any]) -> None:
    """Drop FastAPI's own form of 422, which it adds to every route with a parameter."""
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    for path in schema["paths"].values():
        for operation in path.values():
            refused = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in refused:
                del operation["responses"]["422"]
