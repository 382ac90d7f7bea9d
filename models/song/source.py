"""A stem that is given to an edit or a continuation: its sound, and the model's codes of it where they are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from models.audio.files import Audio
from models.codec.codec import StemCodec
from models.errors import StemsError


@dataclass(frozen=True)
class Source:
    """A stem as it is given.

    Args:
        sound: any rate and channels.
        codes: whole numbers ``[codebooks, frames]``, from the sound's first sample on, by the codec of the model that
            reads them. The sound is then not encoded again.
    """

    sound: Audio
    codes: np.ndarray | None = None

    def mono(self, rate: int) -> np.ndarray:
        """Samples ``[n]`` of one channel at a rate in Hz."""
        return self.sound.mono().resample(rate).samples[0]

    def known_codes(self, name: str, codec: StemCodec, frames: int) -> Int[Tensor, "codebooks frames"] | None:
        """The first codes of this stem; None where they are unknown, or fewer than that.

        Raises:
            StemsError: they cannot be the codec's.
        """
        if self.codes is None:
            return None
        shape, fits = self.codes.shape, self.codes.ndim == 2 and self.codes.shape[0] == codec.codebooks
        if not fits or (self.codes.size and not 0 <= self.codes.min() <= self.codes.max() < codec.cardinality):
            raise StemsError(
                f"The codes given for '{name}', of shape {shape}, are not its codec's: it has {codec.codebooks} "
                f"codebooks of {codec.cardinality} codes.",
                "Give the codes that this model wrote, or the sound alone.",
                field="codes",
            )
        return torch.from_numpy(self.codes[:, :frames].astype(np.int64)) if shape[1] >= frames else None


def padded(sound: np.ndarray, samples: int) -> np.ndarray:
    """So many samples of a sound, with silence after its end."""
    return np.pad(sound[:samples], (0, max(0, samples - len(sound))))
