"""Quality of a separation without reference stems."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

FLOOR_DB = -120.0


def residual_db(mix: Float[np.ndarray, "channels _"], stems: Mapping[str, Float[np.ndarray, "channels _"]]) -> float:
    """The energy of a song that is in none of its stems, relative to the energy of the song, in dB.

    Sources that add up to the song give `FLOOR_DB`, unrelated sources 0 or more. A silent song gives 0. Offsets (the
    means of channels) are removed from both sides, since no source has them.

    Args:
        mix: the song.
        stems: all separated sources, as long as the song.
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
