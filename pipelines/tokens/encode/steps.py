"""Songs on their way through a worker: what is found of each, and steps that take many of them at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.audio.files import Audio
from models.errors import StemsError
from models.files.storage import NO_ROOM, storage_reason
from pipelines.tokens.songs.reasons import FAILED, NOT_WRITTEN
from pipelines.tokens.songs.work import Work

if TYPE_CHECKING:
    from models.separation.separator import Probe


@dataclass(frozen=True)
class Verdict:
    """What the second phase found of a song.

    Args:
        reason: why it is no song, or empty.
        message: the same, in words.
        vocal_score: 0..1, where it was listened for.
        sung: the score is above the threshold.
        frame_rate: frames a second.
        codes: int16 [streams, frames] of the stems that were to be encoded.
        stem_loudness: LUFS of each stem of the layout.
        residual_db: what the stems leave of the mix.
        folder: where the stems were kept, or empty.
        took: seconds by stage.
    """

    reason: str = ""
    message: str = ""
    vocal_score: float | None = None
    sung: bool = False
    frame_rate: float = 0.0
    codes: np.ndarray | None = None
    stem_loudness: tuple[float, ...] = ()
    residual_db: float = 0.0
    folder: str = ""
    took: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def failed(cls, error: Exception) -> Verdict:
        """The verdict on a song that could not be processed; a full disk is no song's fault."""
        if isinstance(error, StemsError):
            return cls(error.code, str(error)[:500])
        full = storage_reason(error) in NO_ROOM
        return cls(NOT_WRITTEN if full else f"{FAILED}{type(error).__name__}", str(error)[:500])


@dataclass(frozen=True)
class SourceSong:
    """A song as it reaches the worker: what is to be done, and its compressed bytes by uri."""

    work: Work
    blobs: Mapping[str, bytes]


@dataclass
class Case:
    """A song on its way through the worker; done as soon as there is a verdict."""

    song: SourceSong
    verdict: Verdict | None = None
    score: float = 0.0
    probe: Probe | None = None
    mix: Audio | None = None
    stems: dict[str, Audio] = field(default_factory=dict)
    residual: float = 0.0
    folder: str = ""
    took: dict[str, float] = field(default_factory=dict)

    @property
    def work(self) -> Work:
        """What is to be done with it."""
        return self.song.work

    @property
    def wave(self) -> np.ndarray:
        """Samples of the mix, float32 [2, n]."""
        assert self.mix is not None
        return self.mix.samples

    def release(self) -> None:
        """Let go of the samples."""
        self.mix, self.probe, self.stems = None, None, {}


@dataclass(frozen=True)
class Step:
    """Something that is done to songs, many at a time, if it is to be done to them."""

    name: str
    work: Callable[[list[Case]], None]
    applies: Callable[[Case], bool]


def run_step(step: Step, cases: Sequence[Case]) -> None:
    """One step for all songs without a verdict; should it fail, one song at a time, so only the culprit fails."""
    todo = [case for case in cases if not case.verdict and step.applies(case)]
    if not todo:
        return
    began = time.perf_counter()
    try:
        step.work(todo)
    except Exception:
        for case in todo:
            try:
                if not case.verdict:
                    step.work([case])
            except Exception as error:
                case.verdict = Verdict.failed(error)
    # A batch's time is shared out by length.
    rate = (time.perf_counter() - began) / sum(case.work.seconds for case in todo)
    for case in todo:
        case.took[step.name] = rate * case.work.seconds


def groups(cases: Sequence[Case], seconds: float) -> list[list[Case]]:
    """Songs to hold in memory together: as many, in order, as last at most ``seconds``."""
    found: list[list[Case]] = []
    for case in cases:
        if found and sum(other.work.seconds for other in found[-1]) + case.work.seconds <= seconds:
            found[-1].append(case)
        else:
            found.append([case])
    return found
