"""Settings of a job that tests call by its command: `stems take TABLE SONG…`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Run = Callable[..., tuple[int, str, str]]
"""Runs words of a command line: exit code, standard output, standard error."""


class Settings(BaseModel):
    """Settings with one option of each kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str = Field(min_length=1)
    """Folder of the table."""

    songs: list[str]
    """Songs to take."""

    reason: str = ""
    """Why."""

    dry_run: bool = False
    """Only say what would be taken."""

    keep_mix: bool = True
    """Leave the mix."""

    kinds: list[Literal["flac", "wav"]] = ["flac"]
    """Kinds of files."""

    sizes: list[int] = []
    """Sizes of the parts."""

    share: float | None = Field(default=0.5, ge=0, lt=1)
    """Share to take."""

    room: dict[str, float] = {}
    """Room on each shelf."""

    resume: bool | Literal["auto"] = "auto"
    """Whether to go on."""


Job = Callable[[Settings], object]
Seen = list[Settings]
