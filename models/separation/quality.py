"""How well a song was taken apart, without knowing what its stems should be."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

FLOOR_DB = -120.0


def residual_db(mix: Float[np.ndarray, "2 _"], stems: Mapping[str, Float[np.ndarray, "2 _"]]) -> float:
    """The energy of a song that is in none of its stems, against that of the song, in dB.

    Sources that add up to the song give `FLOOR_DB`, sources that share nothing with it 0 or more. A silent song has
    nothing to compare with and gives 0.

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


def energy_share(stems: Mapping[str, Float[np.ndarray, "2 _"]], name: str) -> float:
    """The share, in 0..1, of one stem in the energy of all; 0 where it is missing, or all is silent."""
    energies = {stem: _energy(wave) for stem, wave in stems.items()}
    total = sum(energies.values())
    return energies.get(name, 0.0) / total if total else 0.0


def _energy(wave: Float[np.ndarray, "2 _"]) -> float:
    return float(sum(np.dot(channel, channel) for channel in wave.astype(np.float64)))
