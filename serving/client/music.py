"""One method per kind of request, shared by the blocking and the asynchronous client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, Literal, TypedDict, TypeVar, Unpack

from models.audio.files import AudioFormat
from serving.client import requests
from serving.client.requests import Ask
from serving.client.sounds import Sound
from serving.schemas import Job


class MusicFields(TypedDict, total=False):
    """Fields of every request for music. The service chooses values that are omitted or None."""

    seed: int | None
    guidance: float | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    format: AudioFormat | None
    webhook: str | None


class SourceFields(MusicFields, total=False):
    """The source of a request: ``song``, or ``stems`` (a folder, or by name), or ``of`` a job."""

    song: Sound | None
    stems: str | Path | Mapping[str, Sound] | None
    of: Job | str | None


class RegionFields(SourceFields, total=False):
    """Where to change it, in seconds."""

    region: tuple[float, float] | None


class EditFields(RegionFields, total=False):
    """What an edit changes."""

    regenerate: Sequence[str]
    texture: Sequence[str]
    silent: Sequence[str]
    keep: Literal["exact", "free"] | None


class ContinuationFields(SourceFields, total=False):
    """Which stems go on."""

    regenerate: Sequence[str]


Answer = TypeVar("Answer")
"""A job, or what a job is awaited from."""


class MusicRequests(ABC, Generic[Answer]):
    """Sends requests for music."""

    @abstractmethod
    def _ask(self, make: Callable[[], Ask]) -> Answer:
        """Build a request, which may read files, and send it."""

    def song(self, prompt: str = "", *, seconds: float = 10.0, **fields: Unpack[MusicFields]) -> Answer:
        """Request a song from text."""
        return self._ask(partial(requests.json, "song", {"prompt": prompt, "seconds": seconds, **fields}))

    def edit(self, prompt: str = "", **fields: Unpack[EditFields]) -> Answer:
        """Request an edit of ``song``, of ``stems`` (a folder, or by name), or ``of`` an earlier job."""
        return self._ask(partial(requests.form, "edit", {"prompt": prompt, **fields}))

    def variation(self, stem: str, prompt: str = "", **fields: Unpack[RegionFields]) -> Answer:
        """Request another texture of a stem, from the same sources as an edit."""
        return self._ask(partial(requests.form, "variation", {"stem": stem, "prompt": prompt, **fields}))

    def continuation(
        self, prompt: str = "", *, seconds: float = 10.0, **fields: Unpack[ContinuationFields]
    ) -> Answer:
        """Request ``seconds`` more of a song, from the same sources as an edit.

        All stems go on, or those in ``regenerate``, while the others are given up to the new end.
        """
        return self._ask(partial(requests.form, "continuation", {"prompt": prompt, "seconds": seconds, **fields}))
