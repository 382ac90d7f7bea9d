"""Which responses are failures, and whether and when to retry."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from models.errors import StemsError

_URN = "urn:stems:problem:"

# The service, or what stands before it, is busy or not there: the same request may be taken a little later.
_PASSING = frozenset({429, 502, 503, 504})
# Of these, the ones that say that the request was not taken.
_UNTAKEN = frozenset({429, 503})

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 8.0


class RequestError(StemsError):
    """A request failed: the service's problem, or the lack of an answer.

    Args:
        message: what is wrong.
        hint: what to do about it.
        status: the HTTP status; 0 where no answer came.
        type: the problem's type, such as ``urn:stems:problem:invalid``.
        field: the request field at fault, where there is one.
        request_id: what the service calls the request in its log.
        retry_after: seconds that the service wants to be left alone.
        passing: whether it may go by itself.
        taken: whether the service may have acted on the request all the same.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        status: int = 0,
        type: str = "urn:stems:problem:failed",
        field: str = "",
        request_id: str = "",
        retry_after: float = 0.0,
        passing: bool = False,
        taken: bool = True,
    ) -> None:
        super().__init__(message, hint, code=type.removeprefix(_URN), field=field)
        self.status, self.type, self.request_id = status, type, request_id
        self.retry_after, self.passing, self.taken = retry_after, passing, taken

    def __reduce__(self) -> tuple[object, ...]:
        names = ("status", "type", "field", "request_id", "retry_after", "passing", "taken")
        return _rebuild, (self.message, self.hint, {name: getattr(self, name) for name in names})


class Trouble:
    """Retry state of one call: pauses between attempts, and the time limit."""

    def __init__(self, patience: float) -> None:
        self._patience, self._tries = patience, 0
        self._since: float | None = None

    def pause(self, error: RequestError) -> float:
        """Seconds until the next attempt; raises ``error`` if that is past the time limit."""
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        wished = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._tries)
        # Chance spreads those out who were all refused at once.
        pause = error.retry_after + wished * random.uniform(0.5, 1.0)
        self._tries = min(self._tries + 1, 16)
        if now + pause - self._since > self._patience:
            raise error
        return pause

    def over(self) -> None:
        """Reset after a success: the next failure counts as the first."""
        self._since, self._tries = None, 0


def failure(answer: httpx.Response | httpx.RequestError) -> RequestError | None:
    """The failure in a response that was read to its end, or in its absence; None on success."""
    if isinstance(answer, httpx.RequestError):
        return _unanswered(answer)
    return None if answer.is_success else _refused(answer)


def told(
    problem: Mapping[str, Any], *, status: int = 0, request_id: str = "", retry_after: float = 0.0
) -> RequestError:
    """A problem of the service (RFC 9457), as an error; ``status`` and ``request_id`` are used where it has none."""
    status = problem["status"] if isinstance(problem.get("status"), int) else status
    return RequestError(
        str(problem.get("detail") or problem.get("title") or f"The service answered {_phrase(status)}."),
        str(problem.get("hint") or problem.get("mend") or ""),  # services of version 0.1 say mend
        status=status,
        type=str(problem.get("type") or _URN + "failed"),
        field=str(problem.get("field") or ""),
        request_id=str(problem.get("request_id") or request_id),
        retry_after=retry_after,
        passing=status in _PASSING,
        taken=status not in _UNTAKEN,
    )


def not_understood(what: str, answer: httpx.Response | None = None) -> RequestError:
    """The error for a response that the API does not define."""
    status, request_id = (answer.status_code, _request_id(answer)) if answer is not None else (200, "")
    return RequestError(
        f"The answer is not {what}.",
        "Check that the address is that of `stems serve`, of the client's own version.",
        status=status,
        type=_URN + "not_understood",
        request_id=request_id,
    )


def _refused(answer: httpx.Response) -> RequestError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):  # not the service itself: a proxy, or another server
        problem = {"hint": f"See what answers at {answer.request.url.copy_with(query=None)}."}
    return told(
        # The status line is what was decided by; a body may say anything.
        {**problem, "status": answer.status_code},
        request_id=_request_id(answer),
        retry_after=_seconds(answer.headers.get("Retry-After", "")),
    )


def _unanswered(error: httpx.RequestError) -> RequestError:
    server = error.request.url.copy_with(raw_path=b"/")
    lasting = isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError) or _distrusted(error)
    failed = RequestError(
        f"{server} gave no answer: {str(error) or type(error).__name__}.",
        "Check the address, and that `stems serve` runs there.",
        type=_URN + "unreachable",
        passing=isinstance(error, httpx.TransportError) and not lasting,
        taken=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout),
    )
    failed.__cause__ = error
    return failed


def _distrusted(error: BaseException | None) -> bool:
    """Whether a certificate was refused: a retry does not fix that."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _seconds(retry_after: str) -> float:
    """``Retry-After``, which is in seconds or a date; 0 where it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return 0.0
    # A date without a zone is in UTC.
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _request_id(answer: httpx.Response) -> str:
    return str(answer.headers.get("X-Request-Id", ""))


def _rebuild(message: str, hint: str, more: dict[str, Any]) -> RequestError:
    return RequestError(message, hint, **more)
