"""Failures as a client sees them: ``application/problem+json`` (RFC 9457) that points at the field at fault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException

from models.errors import StemsError

MEDIA_TYPE = "application/problem+json"

# What the code of a StemsError means in HTTP. Anything else that a request can cause is 422.
_STATUS = {"too_large": 413, "unreadable": 415, "media_type": 415, "missing": 404, "busy": 503, "starting": 503}

_TITLES = {
    "too_large": "The request is too large",
    "unreadable": "The upload is not audio",
    "media_type": "The content type is not supported",
    "missing": "Not found",
    "busy": "The service is busy",
    "starting": "The service is starting",
    "too_long": "The audio is too long",
    "too_short": "The audio is too short",
    "empty": "The audio is empty",
    "not_finite": "The audio is damaged",
}


class Problem(BaseModel):
    """One failure: what it is, which field caused it, and what mends it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "urn:stems:problem:invalid",
                "title": "The request is not valid",
                "status": 422,
                "detail": "'tuba' is not a stem of this model.",
                "field": "regenerate",
                "mend": "Choose from: bass, drums, other.",
                "request_id": "0f8b7d0c",
            }
        },
    )

    type: str
    """A stable name of the kind of failure."""
    title: str
    """The kind of failure, for people."""
    status: int
    """The HTTP status."""
    detail: str
    """What is wrong with this request."""
    field: str
    """The request field at fault; empty where there is none."""
    mend: str
    """What to do about it."""
    request_id: str
    """The request, as in the X-Request-Id header."""


class BusyError(StemsError):
    """The model has no room for another request now; ``retry_after`` is in seconds."""

    def __init__(self, message: str, mend: str, *, code: str = "busy", retry_after: int = 1) -> None:
        super().__init__(message, mend, code=code)
        self.retry_after = retry_after


def request_id(scope: Mapping[str, Any]) -> str:
    """The id of a request, as Ray Serve's proxy received or made it; it also puts it on the answer."""
    for name, value in scope.get("headers", ()):
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return ""


def respond(scope: Mapping[str, Any], error: StemsError) -> JSONResponse:
    """The answer for one failure."""
    status = _STATUS.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else None
    title = _TITLES.get(error.code, "The request is not valid")
    return _answer(scope, status, error.code, title, error.message, error.field, error.mend, headers)


def respond_broken(scope: Mapping[str, Any]) -> JSONResponse:
    """The answer for a fault of ours: it says nothing of the inside; the log has it under the request id."""
    return _answer(
        scope,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The service failed",
        "Something went wrong on our side.",
        "",
        "Try again; if it stays, report the request id.",
    )


def invalid_field(errors: Sequence[Any]) -> StemsError:
    """The first of pydantic's complaints, as an error that names the field and never echoes the value."""
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    if first["type"] == "json_invalid":
        return StemsError("The body is not valid JSON.", "Check its quotes, commas and brackets.", field="body")
    if first["type"] == "missing":
        what = f"The field '{field}' is missing." if field else "The request has no body."
        return StemsError(what, "Give it.", field=field or "body")
    if first["type"] == "extra_forbidden":
        return StemsError(f"There is no field '{field}'.", "Check its spelling in /docs.", field=field)
    wish = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    return StemsError(f"The value of '{field or 'body'}' is not taken.", f"{wish}.", field=field or "body")


def install(app: FastAPI) -> None:
    """Make every failure of the app leave as a :class:`Problem`."""

    @app.exception_handler(StemsError)
    async def _stems_error(request: Request, error: StemsError) -> JSONResponse:
        return respond(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def _request_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return respond(request.scope, invalid_field(error.errors()))

    @app.exception_handler(ValidationError)
    async def _form_invalid(request: Request, error: ValidationError) -> JSONResponse:
        return respond(request.scope, invalid_field(error.errors(include_url=False)))

    @app.exception_handler(HTTPException)
    async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        code = phrase.lower().replace(" ", "_")
        detail, mend = str(error.detail).rstrip(".") + ".", "See /docs for what the service answers."
        return _answer(request.scope, error.status_code, code, phrase, detail, "", mend, error.headers)


def _answer(
    scope: Mapping[str, Any],
    status: int,
    code: str,
    title: str,
    detail: str,
    field: str,
    mend: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    problem = Problem(
        type=f"urn:stems:problem:{code}",
        title=title,
        status=int(status),
        detail=detail,
        field=field,
        mend=mend,
        request_id=request_id(scope),
    )
    return JSONResponse(problem.model_dump(), status, headers=headers, media_type=MEDIA_TYPE)
