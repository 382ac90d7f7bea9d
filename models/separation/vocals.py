"""Is there singing? Where to listen in a song, and how to turn what was heard into a score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from models.separation.overlap_add import Window

VOCALS = "vocals"
"""The source that a vocal score is about, as every Demucs names it."""

DEFAULT_THRESHOLD = 0.05
"""Score above which a song counts as sung, for separators that come without a measured one."""

PROBE_SECONDS = 24.0
"""Seconds of each song that a probe hears: about three segments of the released separators."""

MOST_VOCAL = 0.75
"""Share of the excerpts that decide: a song is as vocal as the most vocal three quarters of what was heard of it."""

_SILENCE = 1e-4  # of the loudest window's energy: -40 dB
_LEAKAGE = 0.02  # vocal shares below this are what any separator takes for a voice
_FLOOR = 1e-4  # scores below this count as this


@dataclass(frozen=True)
class Probe:
    """What listening to a song gave: its vocal score, and what need not be computed again to separate it.

    Attributes:
        score: how vocal the song is, 0..1.
        heard: the network's output for some of the song's windows, by the sample at which they start.
    """

    score: float
    heard: Mapping[int, Float[Tensor, "sources channels _"]]


def probe_windows(plan: Sequence[Window], wave: Float[Tensor, "channels samples"], rate: int) -> list[Window]:
    """The windows of a song to listen to, spread over it: the loudest one of each part.

    The song is cut into as many equal parts as there are segments in `PROBE_SECONDS`, and no part is shorter
    than a segment. A window belongs to the part in which its middle lies. One that is 40 dB quieter than the
    loudest is silence, whose noise is nobody's voice, and is left out; a silent song gives none.

    Args:
        plan: all windows of the song, in order.
        wave: the song.
        rate: its samples a second.
    """
    samples, segment = wave.shape[-1], plan[0].segment
    parts = max(1, min(math.ceil(PROBE_SECONDS * rate / segment), samples // segment))
    energy = {window: _energy(wave[:, window.start : window.start + window.length]) for window in plan}
    by_part = groupby(plan, lambda window: (2 * window.start + window.length) * parts // (2 * samples))
    chosen = [max(part, key=energy.__getitem__) for _, part in by_part]
    loudest = max(energy[window] for window in chosen)
    return [window for window in chosen if energy[window] > loudest * _SILENCE]


def _energy(wave: Float[Tensor, "*any"]) -> float:
    return float(torch.linalg.vector_norm(wave, dtype=torch.float64).square())


@dataclass(frozen=True)
class Heard:
    """What a separator heard in one excerpt: the energy of its vocals, and of all its sources together."""

    vocals: float
    total: float

    @classmethod
    def of(cls, output: Float[Tensor, "sources channels samples"], vocals: int) -> Heard:
        """Measure a separated excerpt whose source number `vocals` is the voice."""
        energy = torch.linalg.vector_norm(output, dim=(1, 2), dtype=torch.float64).square()
        return cls(float(energy[vocals]), float(energy.sum()))

    @property
    def share(self) -> float:
        """The vocal share, in 0..1; silence has none."""
        return self.vocals / self.total if self.total > 0 else 0.0


def song_score(excerpts: Sequence[Heard]) -> float:
    """The geometric mean of the vocal shares of the most vocal excerpts, each 0.02 at least, in 0..1; 0 for silence.

    Three quarters of them, as songs are rarely sung throughout; and geometric, so that one excerpt in which an
    instrument is taken for a voice does not make a song sung. On rendered songs this parts sung from instrumental
    ones more widely than shares of energy do.
    """
    shares = sorted((heard.share for heard in excerpts), reverse=True)
    most = np.maximum(shares[: math.ceil(MOST_VOCAL * len(shares))], _LEAKAGE)
    return float(np.exp(np.log(most).mean())) if len(most) and shares[0] > 0 else 0.0


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
