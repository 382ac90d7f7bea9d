"""Is there singing? Where to listen in a song, and how to turn what was heard into a score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

MOST_VOCAL = 0.5
"""Share of the excerpts that decide: a song is as vocal as the most vocal half of what was heard of it."""

_HOPS = 8  # in a segment: the grid on which excerpts start
_SILENCE = 1e-4  # of the loudest excerpt's energy: -40 dB
_FLOOR = 1e-4  # scores below this count as this


def probe_windows(song: int, wave: Float[Tensor, "channels samples"], segment: int, rate: int) -> list[Window]:
    """Full segments to listen to, spread over the song, the loudest one of each part of it.

    The song is cut into as many equal parts as there are segments in `PROBE_SECONDS`, and no part is shorter
    than a segment. An excerpt starts in its part. One that is 40 dB quieter than the loudest is silence, whose
    noise is nobody's voice, and is left out; a silent song gives none.
    """
    samples = wave.shape[-1]
    if samples <= segment:
        return [Window(song, 0, samples, segment)] if wave.abs().max() > 0 else []
    parts = max(1, min(math.ceil(PROBE_SECONDS * rate / segment), samples // segment))
    hop = max(1, segment // _HOPS)
    hops = wave[:, : samples // hop * hop].unflatten(1, (-1, hop))
    energy = torch.linalg.vector_norm(hops, dim=(0, 2)).double().square()
    total = torch.cat([energy.new_zeros(1), energy.cumsum(0)])
    chosen = []
    for part in range(parts):
        last = min((part + 1) * samples // parts - 1, samples - segment) // hop
        first = min(math.ceil(part * samples / parts / hop), last)
        heard = total[first + _HOPS : last + _HOPS + 1] - total[first : last + 1]
        best = int(heard.argmax())
        chosen.append((float(heard[best]), Window(song, (first + best) * hop, segment, segment)))
    loudest = max(heard for heard, _ in chosen)
    return [window for heard, window in chosen if heard > loudest * _SILENCE]


@dataclass(frozen=True)
class Heard:
    """What a separator heard in one excerpt: the energy of its vocals, and of all its sources together."""

    vocals: float
    total: float

    @classmethod
    def of(cls, output: Float[Tensor, "sources channels samples"], vocals: int) -> Heard:
        """Measure a separated excerpt whose source number `vocals` is the voice."""
        energy = output.double().square().sum(dim=(1, 2))
        return cls(float(energy[vocals]), float(energy.sum()))

    @property
    def share(self) -> float:
        """The vocal share, in 0..1; silence has none."""
        return self.vocals / self.total if self.total > 0 else 0.0


def song_score(excerpts: Sequence[Heard]) -> float:
    """The vocal share of energy in the most vocal half of the excerpts, in 0..1; 0 without excerpts.

    Half, as songs are rarely sung throughout; and energy, as the sources of quiet excerpts are guesses. On
    rendered songs this parts sung from instrumental ones more widely than the most vocal excerpt alone.
    """
    most = sorted(excerpts, key=lambda heard: heard.share, reverse=True)[: math.ceil(MOST_VOCAL * len(excerpts))]
    return Heard(sum(heard.vocals for heard in most), sum(heard.total for heard in most)).share


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
