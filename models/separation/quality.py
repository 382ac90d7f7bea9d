"""How well a song was taken apart, without knowing what its stems should be."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

FLOOR_DB = -120.0


def residual_db(mix: Float[np.ndarray, "channels _"], stems: Mapping[str, Float[np.ndarray, "channels _"]]) -> float:
    """The energy of a song that is in none of its stems, against that of the song, in dB.

    Sources that add up to the song give `FLOOR_DB`, sources that share nothing with it 0 or more. A silent song has
    nothing to compare with and gives 0. Offsets, the means of channels, count on neither side, as no source has them.

    Args:
        mix: the song.
        stems: all sources that it was taken apart into, as long as the song.
    """
    whole = _energy(mix)
    if whole == 0:
        return 0.0
    rest = mix.copy()
    for stem in stems.values():
        rest -= stem
    return 10 * math.log10(max(_energy(rest) / whole, 10 ** (FLOOR_DB / 10)))


def _energy(wave: Float[np.ndarray, "channels _"]) -> float:
    return float(sum(np.var(channel.astype(np.float64)) * len(channel) for channel in wave))
