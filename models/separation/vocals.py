"""Is there singing? One score for any song whose stems are known, separated or given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

VOCALS = "vocals"
"""The source that a vocal score is about, as every Demucs names it."""

SCORE_VERSION = 2
"""Thresholds are of one version of the score. 1: of a few excerpts alone, as releases before had it."""

DEFAULT_THRESHOLD = 0.045
"""Score above which a song counts as sung, for separators that come without a measured one, such as htdemucs: that of
a voice 13 dB below the rest. docs/BENCHMARKS.md says what it was tried on."""

BLOCK_SECONDS = 2.0
"""Songs are looked at in blocks of this length."""

SUNG_SECONDS = 16.0
"""A song is as vocal as its most vocal blocks, of so many seconds together."""

MOST_VOCAL = 0.75
"""Of a song that is too short for that, this share of its blocks counts."""

_QUIET = 0.01  # of a block's mean energy in the song, which is 20 dB below it
_LEAKAGE = 0.02  # vocal shares below this are what any separator takes for a voice
_FLOOR = 1e-4  # scores below this count as this

Wave = Float[np.ndarray, "channels _"]
Energies = Float[np.ndarray, "_"]


def vocal_score(mix: Wave, stems: Mapping[str, Wave], rate: int) -> float:
    """How vocal a song is, in 0..1: the mean vocal share of its most vocal 16 seconds, wherever they are.

    So a verse counts as much in a long song as in a short one, also if the voice pauses. The mean is a geometric one,
    of shares of 0.02 at least: an instrument that is taken for a voice for two seconds does not make a song sung.

    Args:
        mix: the song.
        stems: all sources that it consists of, as long as the song; without vocals among them the score is 0.
        rate: samples a second.
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
    """The energy of each block of a sound without its mean, which is not heard. The last block may be shorter."""
    starts = range(0, wave.shape[1], block)
    parts = (wave[:, start : start + block] for start in starts)
    return np.array([part.var(axis=1, dtype=np.float64).sum() * part.shape[1] for part in parts])


def vocal_shares(vocals: Energies, total: Energies, level: Energies) -> Energies:
    """The vocal share of each block, in 0..1, less where it is quiet.

    Args:
        vocals: energies of the voice in some of a song's blocks.
        total: those of all sources together.
        level: how loud those blocks are, see :func:`block_levels`.
    """
    return level * np.divide(vocals, total, out=np.zeros_like(vocals), where=total > 0)


def block_levels(mix: Energies) -> Energies:
    """1 for blocks of a song, less for those that are more than 20 dB below its mean, in proportion to their energy.

    In them a voice cannot be told from what a separator leaves over.
    """
    return np.minimum(1.0, mix / (_QUIET * mix.mean())) if mix.any() else np.zeros_like(mix)


def song_score(shares: Energies) -> float:
    """The geometric mean of the vocal shares of the most vocal blocks, each 0.02 at least; 0 where no block has any.

    Shares that are not known count as 0: once they are, the score is the same or higher.

    Args:
        shares: of all blocks of the song.
    """
    if not shares.any():
        return 0.0
    count = min(math.ceil(SUNG_SECONDS / BLOCK_SECONDS), math.ceil(MOST_VOCAL * len(shares)))
    most = np.maximum(np.sort(shares)[-count:], _LEAKAGE)
    # As tables store it, so that a stored score decides as it did when it was measured.
    return float(np.float32(np.exp(np.log(most).mean())))


def best_threshold(instrumental: Sequence[float], sung: Sequence[float]) -> tuple[float, float]:
    """The score that best parts songs without singing from songs with it, and the share it gets right.

    Both kinds count the same, however many there are of each. Where several thresholds part them equally
    well it is in the middle of the widest gap, on a logarithmic scale, as scores of instrumental songs lie
    close to 0. The default threshold where one kind is missing.
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
