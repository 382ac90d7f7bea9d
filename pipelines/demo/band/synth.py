"""Sound from numbers: sums of damped partials, coloured noise, envelopes, and a few effects.

Pitched sounds are additive (no aliasing at any pitch). A partial is a geometric sequence in time, so a whole
note, all partials at once, is one small matrix product: the powers at block starts times the powers in a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 44_100
Samples = NDArray[np.float32]


def db(level: float) -> float:
    """Decibels to gain."""
    return float(10.0 ** (level / 20.0))


def rms(samples: Samples) -> float:
    """Root mean square over everything."""
    flat = samples.reshape(-1)
    return float(np.sqrt(np.dot(flat, flat) / max(flat.size, 1)))


def partials(
    frequencies: NDArray[np.float64],
    amplitudes: NDArray[np.float64],
    decays: NDArray[np.float64],
    phases: NDArray[np.float64],
    length: int,
) -> Samples:
    """Sum of damped sines, ``length`` samples.

    Args:
        frequencies: Hz, one a partial; those above 16 kHz are left out.
        amplitudes: peak amplitude at time zero.
        decays: damping in 1/s (0 = sustained).
        phases: radians at time zero.
        length: number of samples.
    """
    keep = frequencies < 16_000.0
    if length <= 0 or not keep.any():
        return np.zeros(max(length, 0), np.float32)
    step = (-decays[keep] + 2j * np.pi * frequencies[keep]) / RATE
    block = int(np.ceil(np.sqrt(length)))
    starts = np.exp(np.outer(np.arange(block) * block, step)) * (amplitudes[keep] * np.exp(1j * phases[keep]))
    inner = np.exp(np.outer(step, np.arange(block)))
    # Imaginary part of the complex product, in single precision: sines.
    re, im = starts.real.astype(np.float32), starts.imag.astype(np.float32)
    wave = re @ inner.imag.astype(np.float32) + im @ inner.real.astype(np.float32)
    return np.ascontiguousarray(wave.reshape(-1)[:length])


def envelope(length: int, attack: float, release: float) -> Samples:
    """A gate of ``length`` samples with raised-cosine edges; attack and release in seconds."""
    gain = np.ones(length, np.float32)
    rise, fall = min(int(attack * RATE), length), min(int(release * RATE), length)
    if rise:
        gain[:rise] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(rise, dtype=np.float32) / rise)
    if fall:
        gain[length - fall :] *= 0.5 + 0.5 * np.cos(np.pi * (np.arange(fall, dtype=np.float32) + 1) / fall)
    return gain


def filtered(samples: Samples, low: float = 0.0, high: float = 0.0, order: int = 2) -> Samples:
    """Zero-phase band filter with Butterworth magnitudes over the last axis, which is taken as a circle.

    Edges in Hz, 0 = open.
    """
    n = samples.shape[-1]
    size = _fast_size(n)
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    gain = np.ones_like(frequency)
    if low:
        ratio = np.maximum(frequency, 1e-3) / low
        gain *= ratio**order / np.sqrt(1 + ratio ** (2 * order))
    if high:
        gain *= 1 / np.sqrt(1 + (frequency / high) ** (2 * order))
    spectrum = np.fft.rfft(samples, size) * gain.astype(np.float32)
    return np.fft.irfft(spectrum, size)[..., :n].astype(np.float32)


def noise(rng: np.random.Generator, length: int, low: float = 0.0, high: float = 0.0, order: int = 2) -> Samples:
    """Band-limited white noise with an RMS of 1. It repeats every six seconds, without a seam."""
    raw = rng.standard_normal(min(_fast_size(length), 1 << 18), dtype=np.float32)
    wave = np.resize(filtered(raw, low, high, order), length)
    return (wave / max(rms(wave), 1e-9)).astype(np.float32)


def sweep(start: float, end: float, time: float, length: int) -> Samples:
    """A sine whose frequency falls from ``start`` to ``end`` Hz with a time constant in seconds."""
    t = np.arange(length) / RATE
    cycles = end * t + (start - end) * time * (1 - np.exp(-t / time))
    return np.sin(2 * np.pi * cycles).astype(np.float32)


def decay(length: int, time: float) -> Samples:
    """An exponential from 1 that falls by 60 dB in ``time`` seconds."""
    return np.exp(-6.91 / max(time, 1e-4) * np.arange(length, dtype=np.float32) / RATE).astype(np.float32)


def pan(mono: Samples, position: float) -> Samples:
    """Mono to stereo at equal power; position -1 left … 1 right. Returns [2, n]."""
    angle = (position + 1) * np.pi / 4
    gains = np.array([[np.cos(angle)], [np.sin(angle)]], np.float32) * np.float32(np.sqrt(2))
    return gains * mono


def drive(samples: Samples, amount: float) -> Samples:
    """Soft clipping; ``amount`` 1 is mild, 10 is a distorted guitar. Keeps the RMS."""
    level = rms(samples)
    if level == 0.0:
        return samples
    bent = np.tanh(samples * np.float32(amount * 0.25 / level))
    return (bent * (level / rms(bent))).astype(np.float32)


def reverb(stereo: Samples, rng: np.random.Generator, seconds: float, high: float = 6000.0) -> Samples:
    """Only the sound of a room that ``stereo`` plays in, at the same RMS: decorrelated noise tails."""
    length = int(seconds * RATE)
    tail = np.stack([noise(rng, length, 180.0, high, 1) for _ in range(2)]) * decay(length, seconds)
    tail[:, : int(0.008 * RATE)] = 0.0  # the first reflection comes a little later
    wave = _convolve(stereo, tail)
    return (wave * np.float32(rms(stereo) / max(rms(wave), 1e-9))).astype(np.float32)


def _convolve(stereo: Samples, tail: Samples) -> Samples:
    """Causal convolution [2, n] by overlap-add; blocks fit the processor's cache."""
    channels, n = stereo.shape
    size = _fast_size(2 * tail.shape[1])
    block = size - tail.shape[1]
    blocks = -(-n // block)
    padded = np.zeros((channels, blocks * block), np.float32)
    padded[:, :n] = stereo
    spectra = np.fft.rfft(padded.reshape(channels, blocks, block), size) * np.fft.rfft(tail, size)[:, None]
    pieces = np.fft.irfft(spectra, size).astype(np.float32)
    wave = np.zeros((channels, blocks * block + size), np.float32)
    for i in range(blocks):
        wave[:, i * block : i * block + size] += pieces[:, i]
    return wave[:, :n]


def _fast_size(n: int) -> int:
    """The next length of the form 2^a or 3·2^a, which the FFT is quick at."""
    power = 1 << int(np.ceil(np.log2(n)))
    return power * 3 // 4 if power * 3 // 4 >= n else power


def add(track: Samples, sound: Samples, start: int, gain: float) -> None:
    """Mix ``sound`` into ``track`` (last axis is time) in place, clipped to the track's ends."""
    if start < 0:
        sound, start = sound[..., -start:], 0
    end = min(start + sound.shape[-1], track.shape[-1])
    if end > start:
        track[..., start:end] += sound[..., : end - start] * np.float32(gain)
