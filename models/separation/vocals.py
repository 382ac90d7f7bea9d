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

DEFAULT_THRESHOLD = 0.05
"""Score above which a song counts as sung, for separators that come without a measured one."""

BLOCK_SECONDS = 1.0
"""Songs are looked at in blocks of this length."""

SUNG_SECONDS = 5
"""A song is as vocal as its most vocal blocks, of so many seconds together."""

_QUIET = 0.01  # of a block's mean energy in the song, which is 20 dB below it
_FLOOR = 1e-4  # scores below this count as this

Wave = Float[np.ndarray, "channels _"]
Energies = Float[np.ndarray, "_"]


def vocal_score(mix: Wave, stems: Mapping[str, Wave], rate: int) -> float:
    """How vocal a song is: the vocal share that at least five seconds of it reach, in 0..1.

    Five seconds, wherever they are: a verse in a long song counts as much as in a short one, and so does a voice that
    pauses; an instrument that is taken for a voice for a moment does not. Of a song shorter than ten seconds, half
    is enough.

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
    return song_score(vocal_shares(energies[VOCALS], total, block_energies(mix, block)))


def block_samples(rate: int) -> int:
    """Length of a block in samples."""
    return max(1, round(BLOCK_SECONDS * rate))


def block_energies(wave: Wave, block: int) -> Energies:
    """The energy of each block of a sound without its mean, which nobody hears. The last block may be shorter."""
    starts = range(0, wave.shape[1], block)
    parts = (wave[:, start : start + block] for start in starts)
    return np.array([part.var(axis=1, dtype=np.float64).sum() * part.shape[1] for part in parts])


def vocal_shares(vocals: Energies, total: Energies, mix: Energies) -> Energies:
    """The vocal share of each block, in 0..1.

    Blocks more than 20 dB below the song's mean are too quiet to tell a voice from what a separator leaves over: they
    are measured against that level instead of their own, so that silence has no share.

    Args:
        vocals, total: energies of the voice, and of all sources together, in some of the song's blocks, or in all.
        mix: energies of all blocks of the song.
    """
    against = np.maximum(total, _QUIET * mix.mean())
    # A song of zeros has nothing to measure against.
    return np.divide(vocals, against, out=np.zeros_like(vocals), where=mix.any() & (against > 0))


def song_score(shares: Energies) -> float:
    """The vocal share that five seconds of a song reach. Shares that are not known count as 0: it can only grow.

    Args:
        shares: of all blocks of the song.
    """
    if not len(shares):
        return 0.0
    enough = min(math.ceil(SUNG_SECONDS / BLOCK_SECONDS), math.ceil(len(shares) / 2))
    # As tables store it, so that a stored score decides as it did when it was measured.
    return float(np.float32(np.sort(shares)[-enough]))


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
