"""How much of a signal is the reference, and how much is error: SDR and its scale-invariant form."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]


def sdr(reference: Samples, estimate: Samples) -> float:
    """Signal-to-distortion ratio in dB over a whole song: ``|reference|² / |reference - estimate|²``.

    The plain ratio of the Music Demixing Challenge (Mitsufuji et al., 2022), which Demucs reports as "nSDR".
    Shapes are equal and arbitrary, channels count together. 0 dB is what silence scores as the estimate.
    +inf for a perfect estimate; -inf for anything but silence where the reference is silent.

    Raises:
        ValueError: the shapes differ.
    """
    wanted, got = _same_shape(reference, estimate)
    return _decibels(_energy(wanted), _energy(wanted - got))


def si_sdr(reference: Samples, estimate: Samples) -> float:
    """The same, free to scale the reference to the estimate (Le Roux et al., "SDR - half-baked?", 2019).

    Blind to the estimate's gain and polarity; means are not removed. -inf where either signal is silent.

    Raises:
        ValueError: the shapes differ.
    """
    wanted, got = _same_shape(reference, estimate)
    energy = _energy(wanted)
    if energy == 0:
        return -math.inf
    target = wanted * (float(np.vdot(wanted, got)) / energy)
    if _energy(target) == 0:
        return -math.inf
    return _decibels(_energy(target), _energy(got - target))


def _same_shape(reference: Samples, estimate: Samples) -> tuple[Samples, Samples]:
    if np.shape(reference) != np.shape(estimate):
        raise ValueError(f"The reference has shape {np.shape(reference)}, the estimate {np.shape(estimate)}.")
    return np.asarray(reference, dtype=np.float64), np.asarray(estimate, dtype=np.float64)


def _energy(signal: Samples) -> float:
    return float(np.sum(np.square(signal)))


def _decibels(signal: float, error: float) -> float:
    if error == 0:
        return math.inf
    return 10 * math.log10(signal / error) if signal > 0 else -math.inf
