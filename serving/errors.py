"""Failures that jobs and workers raise, and the problem that a client gets for each. Imports no web framework."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from models.errors import StemsError
from models.files.storage import CODE as STORAGE
from models.files.storage import human_bytes

# The HTTP status of a StemsError's code. Anything else that a request can cause is 422.
_STATUS = {
    "header": 400,
    "unknown_key": 401,
    "foreign": 403,
    "missing": 404,
    "not_acceptable": 406,
    "too_slow": 408,
    "too_large": 413,
    "unreadable": 415,
    "media_type": 415,
    "range": 416,
    "too_many": 429,
    "internal": 500,
    "broken_model": 500,
    "busy": 503,
    "starting": 503,
    "storage": 507,
}

_TITLES = {
    "header": "A header is not allowed",
    "unknown_key": "The API key is not known",
    "foreign": "The request comes from another site",
    "missing": "Not found",
    "not_acceptable": "No accepted media type is available",
    "too_slow": "The request came too slowly",
    "too_large": "The request is too large",
    "unreadable": "The upload is not audio",
    "media_type": "The content type is not supported",
    "range": "The range lies outside the file",
    "too_many": "Too many requests",
    "internal": "The service failed",
    "broken_model": "The model is broken",
    "busy": "The service is busy",
    "starting": "The service is starting",
    "storage": "The service's disk is full",
    "too_long": "The audio is too long",
    "too_short": "The audio is too short",
    "empty": "The audio is empty",
    "not_finite": "The audio is damaged",
}


class Problem(BaseModel):
    """One failure: what it is, which field caused it, and how to fix it."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "urn:stems:problem:invalid",
                "title": "The request is not valid",
                "status": 422,
                "detail": "'tuba' is not a stem of this model.",
                "field": "regenerate",
                "hint": "Choose from: bass, drums, other.",
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
    hint: str
    """What to do about it."""
    mend: str = ""
    """The same as `hint`, under its old name; it goes with version 0.3."""
    request_id: str
    """The request, as in the X-Request-Id header."""

    @model_validator(mode="before")
    @classmethod
    def _both_names(cls, values: Any) -> Any:
        """Problems stored by version 0.1 have the old name alone."""
        if isinstance(values, dict):
            hint = values.get("hint") or values.get("mend") or ""
            return {**values, "hint": hint, "mend": hint}
        return values


class BusyError(StemsError):
    """The same request may succeed after ``retry_after`` seconds."""

    def __init__(self, message: str, hint: str, *, code: str = "busy", retry_after: int = 1) -> None:
        super().__init__(message, hint, code=code)
        self.retry_after = retry_after


def broken() -> StemsError:
    """A fault of the service. It reveals nothing internal; the log has the details under the request id."""
    hint = "Try again; if it fails again, report the request id."
    return StemsError("Something went wrong on our side.", hint, code="internal")


def no_room(needs: float = 0) -> StemsError:
    """The service's disk is full; the log says which.

    Args:
        needs: bytes that the request takes at most; 0 if unknown.
    """
    room = f"; this takes up to {human_bytes(needs)}" if needs else ""
    hint = "Ask for a shorter song, or try again later."
    return StemsError(f"The service's disk is full{room}.", hint, code=STORAGE)


def problem_of(error: StemsError, request_id: str) -> Problem:
    """The problem that a client gets for an error."""
    return Problem(
        type=f"urn:stems:problem:{error.code}",
        title=_TITLES.get(error.code, "The request is not valid"),
        status=_STATUS.get(error.code, int(HTTPStatus.UNPROCESSABLE_ENTITY)),
        detail=error.message,
        field=error.field,
        hint=error.hint,
        request_id=request_id,
    )
