"""A generated or edited song."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.audio.files import Audio
from models.stems import StemLayout


def mixed(stems: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sum of stems of equal length."""
    return np.stack(list(stems.values())).sum(axis=0, dtype=np.float32)


@dataclass(frozen=True)
class Song:
    """A generated or edited song.

    ``codes`` int16 ``[streams, frames]``; ``stems`` mono float32 samples by name, all equally long, at ``rate``. The
    same model, request, ``seed`` and ``precision`` give the same song.
    """

    codes: np.ndarray
    stems: dict[str, np.ndarray]
    rate: int
    layout: StemLayout
    seed: int
    prompt: str
    precision: str = "float32"

    @property
    def mix(self) -> np.ndarray:
        """The sum of the stems."""
        return mixed(self.stems)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.mix) / self.rate

    @property
    def sounds(self) -> dict[str, Audio]:
        """The stems as audio."""
        return {name: Audio(samples[None], self.rate) for name, samples in self.stems.items()}
