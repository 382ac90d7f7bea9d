"""Songs on their way through a worker, and the steps that process many of them at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from models.audio.files import Audio
from pipelines.tokens.encode.results import Failed, SongResult
from pipelines.tokens.songs.work import Work

if TYPE_CHECKING:
    from models.separation.separator import Probe


@dataclass(frozen=True)
class SourceSong:
    """A song as it reaches the worker: the work to do, and the compressed bytes of its files, by address."""

    work: Work
    blobs: Mapping[str, bytes]


@dataclass
class Case:
    """A song on its way through the worker. It is done as soon as it has a result.

    Attributes:
        song: as it reached the worker.
        result: None until it is done.
        vocal_score: of the song, or of the stretches that were listened to.
        residual_db: what the stems leave of the mix; None unless the stems were made here.
        mix: the song at the separator's rate; None where it is not to be separated.
        probe: what listening to a few stretches has computed.
        stems: by name, at the codecs' rate, as a file would store them.
        folder: where the stems were kept, or empty.
        took: seconds by stage.
    """

    song: SourceSong
    result: SongResult | None = None
    vocal_score: float | None = None
    residual_db: float | None = None
    mix: Audio | None = None
    probe: Probe | None = None
    stems: dict[str, Audio] = field(default_factory=dict)
    folder: str = ""
    took: dict[str, float] = field(default_factory=dict)

    @property
    def work(self) -> Work:
        """The work to do on it."""
        return self.song.work

    @property
    def wave(self) -> np.ndarray:
        """Samples of the mix, float32 [2, n]."""
        assert self.mix is not None
        return self.mix.samples

    def release(self) -> None:
        """Free the samples."""
        self.mix, self.probe, self.stems = None, None, {}


@dataclass(frozen=True)
class Step:
    """A function that processes many songs at a time, and which songs it applies to."""

    name: str
    work: Callable[[list[Case]], None]
    applies: Callable[[Case], bool]


def run_step(step: Step, cases: Sequence[Case]) -> None:
    """Run one step on all songs that are not done; if it fails, song by song, so that only the culprit fails."""
    todo = [case for case in cases if case.result is None and step.applies(case)]
    if not todo:
        return
    began = time.perf_counter()
    try:
        step.work(todo)
    except Exception:
        for case in todo:
            try:
                if case.result is None:
                    step.work([case])
            except Exception as error:
                case.result = Failed.by(error)
    # A batch's time is divided by the songs' lengths.
    rate = (time.perf_counter() - began) / sum(case.work.seconds for case in todo)
    for case in todo:
        case.took[step.name] = rate * case.work.seconds


def groups(cases: Sequence[Case], seconds: float) -> list[list[Case]]:
    """Group songs to hold in memory together: in order, each group lasts at most ``seconds`` or is one song."""
    found: list[list[Case]] = []
    for case in cases:
        if found and sum(other.work.seconds for other in found[-1]) + case.work.seconds <= seconds:
            found[-1].append(case)
        else:
            found.append([case])
    return found
