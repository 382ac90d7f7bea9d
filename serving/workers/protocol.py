"""The messages between the HTTP side and the workers. Imports no torch: the ingress loads no model code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from models.request_bounds import SamplingFields
from models.song.continuation import Continuation
from models.song.edit import Edit, FromText
from models.stems import StemLayout

SoundTask: TypeAlias = Edit | Continuation
"""What a worker can do with given stems."""
Task: TypeAlias = FromText | SoundTask
"""What a worker can be asked for."""


@dataclass(frozen=True)
class ModelInfo:
    """What the service must know of the model to check a request."""

    digest: str
    layout: StemLayout
    sample_rate: int
    frame_rate: float
    max_seconds: float
    separates: bool
    precision: str


@dataclass(frozen=True)
class GenerationOrder:
    """A song to generate, or to change.

    Args:
        task: what to do.
        prompt: what the result should sound like.
        sampling: how tokens are drawn, with a seed.
        stems: encoded audio of given stems.
        codes: int16 ``[codebooks, frames]`` of those given stems whose tokens are known: they need not be encoded.
        trace: the W3C trace context that it belongs to.
    """

    task: Task
    prompt: str
    sampling: SamplingFields
    stems: dict[str, bytes] = field(default_factory=dict)
    codes: dict[str, np.ndarray] = field(default_factory=dict)
    trace: str = ""


@dataclass(frozen=True)
class Load:
    """How busy a player is.

    Args:
        slots: songs that it can write at once.
        running: songs that it writes.
        waiting: songs that wait for a slot.
        step: seconds of its last steps, smoothed.
        roofline: the least seconds that such a step could take of this machine's memory.
        steps: how many it has made.
    """

    slots: int
    running: int
    waiting: int
    step: float
    roofline: float
    steps: int


@dataclass(frozen=True)
class Chunk:
    """What has come of a song since the last chunk.

    Args:
        frames: how many are written in all.
        of: how many there will be.
        codes: the new frames, int16 ``[streams, frames]``.
        sound: new mono samples of each stem, equally many; or nothing yet.
        rate: of the samples, in Hz.
        load: of who plays it.
    """

    frames: int
    of: int
    codes: np.ndarray
    sound: dict[str, np.ndarray]
    rate: int
    load: Load
