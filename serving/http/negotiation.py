"""Content negotiation: the response format, the waiting time and the idempotency key from request headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.audio.files import AudioFormat
from models.errors import StemsError
from serving.jobs.artifacts import MEDIA

MOST_WAIT_S = 120
MOST_KEY = 255

_AUDIO: dict[str, AudioFormat] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/flac": "flac",
    "audio/opus": "opus",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/*": "wav",
}
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,9})\"?(?:$|[,;\s])")


@dataclass(frozen=True)
class PreferredResponse:
    """The response that a request for music prefers.

    Args:
        shape: what to answer with once the job is done.
        format: of a mix, the format that ``Accept`` names, if it names one.
        wait: seconds to wait for the job.
        idempotency: the client's own name of the request.
    """

    shape: Literal["zip", "mix", "json"]
    format: AudioFormat | None = None
    wait: int = 0
    idempotency: str | None = None


def preferred_response(headers: Mapping[str, str]) -> PreferredResponse:
    """Read the headers of a request for music.

    Raises:
        StemsError: nothing in ``Accept`` can be given, or the ``Idempotency-Key`` is not valid.
    """
    shape, format = _shape(headers.get("accept", "").strip())
    return PreferredResponse(shape, format, wait_seconds(headers), _idempotency(headers))


def _shape(accept: str) -> tuple[Literal["zip", "mix", "json"], AudioFormat | None]:
    """The most preferred available response."""
    if not accept:
        return "zip", None
    for kind in _preferred(accept):
        if kind in ("*/*", "application/*", MEDIA["zip"]):
            return "zip", None
        if kind == MEDIA["json"]:
            return "json", None
        if kind in _AUDIO:
            return "mix", None if kind == "audio/*" else _AUDIO[kind]
    raise StemsError(
        f"None of '{accept[:80]}' can be given.",
        "Accept application/zip, application/json, or audio/wav, flac, opus, ogg or mpeg.",
        code="not_acceptable",
        field="accept",
    )


def wait_seconds(headers: Mapping[str, str]) -> int:
    """Seconds of ``Prefer: wait=N``; 0 without."""
    found = _WAIT.search(headers.get("prefer", "").lower())
    return min(int(found[1]), MOST_WAIT_S) if found else 0


def _idempotency(headers: Mapping[str, str]) -> str | None:
    key = headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MOST_KEY and key.isprintable()):
        raise StemsError(
            "The Idempotency-Key is empty or too long.", f"Use 1 to {MOST_KEY} characters.", field="idempotency-key"
        )
    return key


def _preferred(accept: str) -> list[str]:
    """Media types by descending weight; weight 0 is excluded."""
    kinds = []
    for part in accept.lower().split(",")[:50]:
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            value = float(weight)
        except ValueError:
            value = 1.0
        if value > 0:
            kinds.append((-value, kind))
    return [kind for _, kind in sorted(kinds, key=lambda pair: pair[0])]
