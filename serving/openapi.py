"""The parts of the OpenAPI document that FastAPI cannot derive: problems, zips and the multipart form."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving import problems
from serving.schemas import EditRequest, SongResult

_REF = "#/components/schemas/{model}"
_BINARY = {"type": "string", "format": "binary"}

SUMMARY = """Music in stems: from text, or around stems that you have.

Send `Accept: application/json` for links to the files; otherwise the answer is a zip of the stems, their mix
and `manifest.json`. Failures are `application/problem+json` and name the field at fault."""

_PROBLEMS = {
    404: "There is no such thing, or no longer.",
    413: "The body is too large.",
    415: "The content type is not supported, or an upload is not audio.",
    422: "A field is wrong; the answer names it.",
    503: "The service is busy or starting; Retry-After says when to try again.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route for these statuses."""
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": _PROBLEMS[status], "content": content} for status in statuses
    }
    if 503 in responses:
        retry = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        responses[503] = {**responses[503], "headers": {"Retry-After": retry}}
    return responses


def finished_song() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that answers with a song: a zip, or links."""
    headers = {
        "X-Seed": {"description": "The seed that was used.", "schema": {"type": "integer"}},
        "X-Model-Digest": {"description": "The model that played.", "schema": {"type": "string"}},
        "X-Request-Id": {"description": "The id of this request.", "schema": {"type": "string"}},
    }
    content = {
        "application/zip": {"schema": _BINARY},
        "application/json": {"schema": {"$ref": _REF.format(model="SongResult")}},
    }
    return {200: {"description": "The song.", "headers": headers, "content": content}}


def edit_body() -> dict[str, Any]:
    """The request body of an edit, which is read by hand since its file names depend on the model."""
    schema = EditRequest.model_json_schema()
    song = {**_BINARY, "description": "A whole song, which is separated first. Or send its stems instead."}
    schema["properties"] = {"song": song, **schema["properties"]}
    schema["additionalProperties"] = {**_BINARY, "description": "One audio file per stem, named by the stem."}
    example = {"regenerate": ["bass"], "prompt": "a walking bass", "keep": "exact", "seed": 7}
    form = {"schema": schema, "example": example}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


def install(app: FastAPI) -> None:
    """Make ``app.openapi()`` complete, and true: what FastAPI adds by itself is not what is sent."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=SUMMARY, routes=app.routes)
            _drop_default_failures(schema)
            schema["components"]["schemas"] |= _schemas(problems.Problem, SongResult)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _schemas(*models: type[BaseModel]) -> dict[str, Any]:
    _, schema = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    return dict(schema["$defs"])


def _drop_default_failures(schema: dict[str, Any]) -> None:
    """Drop FastAPI's own form of 422, which it adds to every route with a parameter."""
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
    for path in schema["paths"].values():
        for operation in path.values():
            refused = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in refused:
                del operation["responses"]["422"]
