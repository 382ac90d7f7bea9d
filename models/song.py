"""What the model gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.stems import StemLayout


@dataclass(frozen=True)
class Song:
    """A generated or edited song.

    ``codes`` int16 ``[streams, frames]``; ``stems`` mono float32 samples by name, all equally long, at ``rate``. With
    the same model, request, ``seed`` and ``precision`` comes the same song.
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
        return np.stack(list(self.stems.values())).sum(axis=0, dtype=np.float32)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.mix) / self.rate
