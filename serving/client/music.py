"""The calls that ask for music, one per kind of request, for the blocking client and the asynchronous one alike."""

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


class Playing(TypedDict, total=False):
    """What every request for music may say; what is left out, or None, the service chooses."""

    seed: int | None
    guidance: float | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    format: AudioFormat | None
    webhook: str | None


class Material(Playing, total=False):
    """What a request starts from: ``song``, or ``stems`` (a folder, or by name), or ``of`` a job."""

    song: Sound | None
    stems: str | Path | Mapping[str, Sound] | None
    of: Job | str | None


class Varying(Material, total=False):
    """Where to change it, in seconds."""

    region: tuple[float, float] | None


class Editing(Varying, total=False):
    """What an edit changes."""

    regenerate: Sequence[str]
    texture: Sequence[str]
    silent: Sequence[str]
    keep: Literal["exact", "free"] | None


class Continuing(Material, total=False):
    """Which stems go on."""

    regenerate: Sequence[str]


Answer = TypeVar("Answer")
"""A job, or what a job is awaited from."""


class MusicRequests(ABC, Generic[Answer]):
    """Asks for music."""

    @abstractmethod
    def _ask(self, make: Callable[[], Ask]) -> Answer:
        """Make a request, which may read files, and send it."""

    def song(self, prompt: str = "", *, seconds: float = 10.0, **fields: Unpack[Playing]) -> Answer:
        """Ask for a song from text."""
        return self._ask(partial(requests.json, "song", {"prompt": prompt, "seconds": seconds, **fields}))

    def edit(self, prompt: str = "", **fields: Unpack[Editing]) -> Answer:
        """Ask for a change of a song: of ``song``, of ``stems`` (a folder, or by name), or ``of`` an earlier job."""
        return self._ask(partial(requests.form, "edit", {"prompt": prompt, **fields}))

    def variation(self, stem: str, prompt: str = "", **fields: Unpack[Varying]) -> Answer:
        """Ask for another texture of a stem; from what an edit starts from."""
        return self._ask(partial(requests.form, "variation", {"stem": stem, "prompt": prompt, **fields}))

    def continuation(self, prompt: str = "", *, seconds: float = 10.0, **fields: Unpack[Continuing]) -> Answer:
        """Ask for ``seconds`` more of a song; from what an edit starts from.

        All stems go on, or those in ``regenerate``, while the others are given up to the new end.
        """
        return self._ask(partial(requests.form, "continuation", {"prompt": prompt, "seconds": seconds, **fields}))
