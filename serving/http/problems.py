"""Failures as a client sees them: ``application/problem+json`` (RFC 9457) that points at the field at fault."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from models.errors import StemsError
from serving.errors import BusyError, Problem, problem_of
from serving.http.files.ranges import RangeError

MEDIA_TYPE = "application/problem+json"

# What the page answers for paths and methods that it has not, though the API may have such a path.
_NOT_HERE = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def request_id(scope: Mapping[str, Any]) -> str:
    """The id of a request, as Ray Serve's proxy received or made it; it also puts it on the answer."""
    for name, value in scope.get("headers", ()):
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return ""


def respond(scope: MutableMapping[str, Any], error: StemsError) -> JSONResponse:
    """The response for one failure; it is recorded in the request's state."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, BusyError) else {}
    if isinstance(error, RangeError):
        headers["Content-Range"] = f"bytes */{error.size}"
    if error.code == "unknown_key":
        headers["WWW-Authenticate"] = "Bearer"
    scope.setdefault("state", {})["problem"] = error.code
    return answer(problem_of(error, request_id(scope)), headers)


def invalid_field(errors: Sequence[Any]) -> StemsError:
    """The first validation error as a StemsError that names the field and never echoes the value."""
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
    """Turn every failure of the app into a :class:`Problem`."""

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
        if error.status_code in _NOT_HERE and (methods := _methods(request)):
            error = HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(methods)})
        phrase = HTTPStatus(error.status_code).phrase
        problem = Problem(
            type=f"urn:stems:problem:{phrase.lower().replace(' ', '_')}",
            title=phrase,
            status=error.status_code,
            detail=str(error.detail).rstrip(".") + ".",
            field="",
            hint="See /docs for what the service answers.",
            request_id=request_id(request.scope),
        )
        return answer(problem, error.headers)


def _methods(request: Request) -> list[str]:
    """The methods that the API has for this path."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    same = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in same for method in route.methods or ()})


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response for a problem."""
    return JSONResponse(problem.model_dump(), problem.status, headers=headers, media_type=MEDIA_TYPE)
