"""Bounds of a request for music, shared by HTTP and shell. Imports no torch."""

from __future__ import annotations

import re
from math import isfinite
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator

from models.errors import StemsError

MIN_SECONDS = 0.5
MAX_PROMPT = 2000
# The largest integer that every JSON reader keeps exactly.
MAX_SEED = 2**53 - 1

_NUMBERS = ("seed", "guidance", "temperature", "top_k", "top_p", "seconds")


def is_text(text: str) -> bool:
    """Whether every character can be stored and sent: neither NUL nor half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" or character == "\0" for character in text)


def check_length(seconds: float, name: str, field: str) -> None:
    """Refuse audio that is shorter than the shortest song: StemsError ``too_short``."""
    if seconds < MIN_SECONDS:
        raise StemsError(
            f"'{name}' lasts {seconds:.2f} s.", f"Send at least {MIN_SECONDS:g}.", code="too_short", field=field
        )


def _split_names(value: object) -> object:
    """``["bass,drums", "other"]`` -> ``["bass", "drums", "other"]``, each once."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(part, str) for part in values):
        return value
    names = [name.strip() for part in values for name in part.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def _region(value: object) -> object:
    """``"0.5-2.5"``, ``"0.5 2.5"``, ``["0.5", "2.5"]`` or ``[0.5, 2.5]`` -> ``(0.5, 2.5)``."""
    parts = value if isinstance(value, list | tuple) else [value]
    words = [word for part in parts for word in _EDGES.split(str(part).strip())]
    try:
        start, end = map(float, words)
    except ValueError:
        start = end = 0.0
    if not (isfinite(end) and 0 <= start < end):
        raise ValueError("write it as START and END in seconds, such as 0.5 2.5 or 0.5-2.5")
    return start, end


# A minus after a digit or a point parts two numbers; one after a blank or an "e" belongs to a number.
_EDGES = re.compile(r"(?<=[0-9.])\s*-\s*|\s*,\s*|\s+")

StemNames = Annotated[list[str], BeforeValidator(_split_names)]
"""Names of stems, each once: as a list, or separated by commas."""
Region = Annotated[
    tuple[float, float], BeforeValidator(_region), WithJsonSchema({"type": "string", "example": "0.5-2.5"})
]
"""A stretch of time in seconds: two numbers, or START-END."""
Prompt = Annotated[str, Field(max_length=MAX_PROMPT)]
Seconds = Annotated[float, Field(ge=MIN_SECONDS, allow_inf_nan=False)]


class SamplingFields(BaseModel):
    """How tokens are drawn; also checks the prompt of requests that have one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    """The same request, model and seed give the same music. Without a seed, one is drawn and reported."""

    guidance: float = Field(default=3.0, ge=0, le=20)
    """How strongly the music follows the prompt; 1 switches guidance off."""

    temperature: float = Field(default=1.0, ge=0, le=10)
    """Above 1: bolder; below 1: tamer; 0: always the most likely token."""

    top_k: int = Field(default=250, ge=0, le=1_000_000)
    """Draw from this many most likely tokens; 0: from all."""

    top_p: float = Field(default=0.0, ge=0, le=1)
    """Draw from the most likely tokens that hold this share of the probability; 0: from all."""

    @field_validator(
        "seconds", "seed", "guidance", "temperature", "top_k", "top_p", mode="before", check_fields=False
    )
    @classmethod
    def _no_truth(cls, value: object) -> object:
        """Refuse true and false, which pydantic would convert to 1 and 0."""
        if isinstance(value, bool):
            raise ValueError("write a number or text, not true or false")
        return value

    @field_validator("prompt", check_fields=False)
    @classmethod
    def _text(cls, prompt: str) -> str:
        if not is_text(prompt):
            raise ValueError("it has characters that are not text")
        return prompt
