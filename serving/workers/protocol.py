"""The messages between the HTTP side and the workers. Imports no torch: the ingress loads no model code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from models.request_bounds import SamplingFields
from models.song.continuation import Continuation
from models.song.edit import Edit, FromText
from models.stems import StemLayout
from serving.timings import Seconds

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
    """How busy a replica of the generator is.

    Args:
        replica: its name, unique among replicas.
        slots: songs that it can write at once.
        running: songs that it writes.
        waiting: songs that wait for a slot.
        step: seconds of its last steps, smoothed.
        roofline: seconds that the memory's bandwidth allows for such a step at best.
        steps: number of steps since it started.
    """

    replica: str
    slots: int
    running: int
    waiting: int
    step: float
    roofline: float
    steps: int


@dataclass(frozen=True)
class Chunk:
    """The part of a song that is new since the last chunk.

    Args:
        frames: frames written so far.
        total_frames: frames of the whole song.
        codes: the new frames, int16 ``[streams, frames]``.
        sound: new mono samples of each stem, equally many; or empty.
        rate: sample rate, in Hz.
        load: how busy the replica is.
        timings: where the time of the song has gone in the replica, up to now.
    """

    frames: int
    total_frames: int
    codes: np.ndarray
    sound: dict[str, np.ndarray]
    rate: int
    load: Load
    timings: Seconds = field(default_factory=dict)
