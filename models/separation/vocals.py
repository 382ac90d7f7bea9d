"""The vocal score: how vocal a song is, computed from its stems, separated or given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

VOCALS = "vocals"
"""The source of vocals, as every Demucs names it."""

SCORE_VERSION = 2
"""A threshold is valid for one version of the score. Version 1, of earlier releases, used a few excerpts only."""

DEFAULT_THRESHOLD = 0.045
"""Score above which a song counts as sung, for separators without a measured threshold, such as htdemucs: the score
of a voice 13 dB below the rest. docs/BENCHMARKS.md lists the songs that it was tested on."""

BLOCK_SECONDS = 2.0
"""Length of the blocks of a song."""

SUNG_SECONDS = 16.0
"""The score is that of the most vocal blocks, this long in total."""

MOST_VOCAL = 0.75
"""Share of blocks that count in a shorter song."""

_QUIET = 0.01  # of the song's mean block energy, which is 20 dB below it
_LEAKAGE = 0.02  # vocal shares below this are leakage of the separator
_FLOOR = 1e-4  # scores below this count as this

Wave = Float[np.ndarray, "channels _"]
Energies = Float[np.ndarray, "_"]


def vocal_score(mix: Wave, stems: Mapping[str, Wave], rate: int) -> float:
    """How vocal a song is, in 0..1: the mean vocal share of its most vocal 16 seconds, at any position.

    So a verse counts as much in a long song as in a short one, also if the voice pauses. The mean is geometric, over
    shares of at least 0.02: an instrument mistaken for a voice for two seconds does not make a song sung.

    Args:
        mix: the song.
        stems: all sources of the song, as long as the song; without vocals among them the score is 0.
        rate: samples per second.
    """
    block = block_samples(rate)
    if VOCALS not in stems:
        return 0.0
    energies = {name: block_energies(stem, block) for name, stem in stems.items()}
    total = np.sum(list(energies.values()), axis=0)
    return song_score(vocal_shares(energies[VOCALS], total, block_levels(block_energies(mix, block))))


def block_samples(rate: int) -> int:
    """Length of a block in samples."""
    return max(1, round(BLOCK_SECONDS * rate))


def block_energies(wave: Wave, block: int) -> Energies:
    """The energy of each block of a sound, without its inaudible mean. The last block may be shorter."""
    starts = range(0, wave.shape[1], block)
    parts = (wave[:, start : start + block] for start in starts)
    return np.array([part.var(axis=1, dtype=np.float64).sum() * part.shape[1] for part in parts])


def vocal_shares(vocals: Energies, total: Energies, level: Energies) -> Energies:
    """The vocal share of each block, in 0..1, reduced in quiet blocks.

    Args:
        vocals: energies of the voice per block.
        total: energies of all sources together.
        level: levels of the blocks, see :func:`block_levels`.
    """
    return level * np.divide(vocals, total, out=np.zeros_like(vocals), where=total > 0)


def block_levels(mix: Energies) -> Energies:
    """1 for most blocks of a song; below 1, in proportion to energy, for blocks more than 20 dB below its mean.

    In such blocks a voice cannot be distinguished from leakage.
    """
    return np.minimum(1.0, mix / (_QUIET * mix.mean())) if mix.any() else np.zeros_like(mix)


def song_score(shares: Energies) -> float:
    """The geometric mean of the vocal shares (each at least 0.02) of the most vocal blocks; 0 if all shares are 0.

    Unknown shares count as 0, so the score can only rise once they are known.

    Args:
        shares: shares of all blocks of the song.
    """
    if not shares.any():
        return 0.0
    count = min(math.ceil(SUNG_SECONDS / BLOCK_SECONDS), math.ceil(MOST_VOCAL * len(shares)))
    most = np.maximum(np.sort(shares)[-count:], _LEAKAGE)
    # float32 as in tables, so that a stored score gives the same decision as the measured one.
    return float(np.float32(np.exp(np.log(most).mean())))


def best_threshold(instrumental: Sequence[float], sung: Sequence[float]) -> tuple[float, float]:
    """The score that best separates instrumental from sung songs, and the share that it classifies correctly.

    Both classes have equal weight, independent of their sizes. Among equally good thresholds it takes the middle of
    the widest gap, on a logarithmic scale, since scores of instrumental songs are close to 0. If one class is empty
    it returns the default threshold.
    """
    if not instrumental or not sung:
        return DEFAULT_THRESHOLD, 0.0
    low, high = np.maximum(instrumental, _FLOOR), np.maximum(sung, _FLOOR)
    edges = np.unique(np.concatenate([[_FLOOR], low, high, [1.0]]))
    middles = np.sqrt(edges[:-1] * edges[1:])
    right = [(np.mean(low <= middle) + np.mean(high > middle)) / 2 for middle in middles]
    widths = np.log(edges[1:] / edges[:-1])
    best = max(range(len(middles)), key=lambda k: (right[k], widths[k]))
    return float(middles[best]), float(right[best])
