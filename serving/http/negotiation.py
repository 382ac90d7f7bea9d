"""What the headers of a request ask for: which kind of answer, and how long to wait for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models.audio.files import AudioFormat
from models.errors import StemsError
from serving.jobs.artifacts import MEDIA

MOST_WAIT_S = 120

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
    """What a finished job is to be answered with; of a mix, the format that `Accept` names, if it names one."""

    shape: Literal["zip", "mix", "json"]
    format: AudioFormat | None = None


def preferred_response(headers: Mapping[str, str]) -> PreferredResponse:
    """By ``Accept``, whatever is preferred of what can be given; StemsError where that is nothing."""
    accept = headers.get("accept", "").strip()
    if not accept:
        return PreferredResponse("zip")
    for kind in _preferred(accept):
        if kind in ("*/*", "application/*", MEDIA["zip"]):
            return PreferredResponse("zip")
        if kind == MEDIA["json"]:
            return PreferredResponse("json")
        if kind in _AUDIO:
            return PreferredResponse("mix", None if kind == "audio/*" else _AUDIO[kind])
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


def _preferred(accept: str) -> list[str]:
    """Media types by falling weight; those of weight 0 are left out."""
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
