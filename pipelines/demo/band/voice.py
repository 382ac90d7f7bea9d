"""A sung lead by formant synthesis: a glottal source with vibrato through moving vowel resonances.

The voice is a sum of harmonics of a gliding pitch. Each harmonic's level follows the vocal tract's response
at its frequency, computed on a slow control grid; consonants are hums, hisses and short stops.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.demo.band.score import Note
from pipelines.demo.band.synth import RATE, Samples, add, decay, envelope, noise, rms

_HOP = 256  # samples between control points
_BLOCK = 64  # control points rendered at a time
_TOP = 9_000.0  # Hz; harmonics above it are left out

# First five formants in Hz of an adult male voice, near the textbook averages.
_VOWELS: dict[str, tuple[float, ...]] = {
    "a": (740, 1180, 2550, 3400, 4200),
    "e": (530, 1840, 2480, 3450, 4300),
    "i": (290, 2250, 3000, 3550, 4350),
    "o": (480, 860, 2450, 3300, 4100),
    "u": (310, 800, 2250, 3250, 4100),
}
_HUM = (250.0, 1050.0, 2200.0, 3300.0, 4200.0)  # lips closed
_BANDWIDTHS = np.array([70.0, 95.0, 130.0, 200.0, 260.0])
_ONSETS = ("open", "hum", "hiss", "stop")


@dataclass(frozen=True)
class Singer:
    """A voice.

    Attributes:
        low: its lowest pitch (MIDI).
        tract: scale of the formants against an adult male's.
        vibrato_rate, vibrato_depth: Hz, semitones.
        breath: level of the breath noise against the voice.
        tilt: fall of the source's harmonics, as a power of their number; lips included.
    """

    low: int
    tract: float
    vibrato_rate: float
    vibrato_depth: float
    breath: float
    tilt: float


def hire_singer(rng: np.random.Generator) -> Singer:
    """A low or a high voice, each time another person."""
    high = bool(rng.random() < 0.5)
    return Singer(
        low=int(rng.integers(56, 60) if high else rng.integers(46, 51)),
        tract=float(rng.uniform(1.12, 1.22) if high else rng.uniform(0.95, 1.05)),
        vibrato_rate=float(rng.uniform(4.8, 6.2)),
        vibrato_depth=float(rng.uniform(0.3, 0.6)),
        breath=float(rng.uniform(0.015, 0.04)),
        tilt=float(rng.uniform(0.75, 1.05)),
    )


def sing(notes: list[Note], singer: Singer, length: int, rng: np.random.Generator) -> Samples:
    """Sing notes on changing syllables. Returns mono [length] at 44.1 kHz, RMS 1 where there is singing."""
    if not notes:
        return np.zeros(length, np.float32)
    frames = length // _HOP + 2
    pitch, level, formants, consonants = _controls(notes, singer, frames, rng)
    voice = _harmonics(pitch, level, formants, singer, length, rng)
    voice /= max(rms(voice), 1e-9)
    breath = noise(rng, length, 2200.0, 8000.0, 1) * np.interp(np.arange(length) / _HOP, np.arange(frames), level)
    voice += (singer.breath * breath).astype(np.float32)
    for start, sound in consonants:
        add(voice, sound, start, 1.0)
    return voice.astype(np.float32)


_Curve = NDArray[np.float64]


def _controls(
    notes: list[Note], singer: Singer, frames: int, rng: np.random.Generator
) -> tuple[_Curve, _Curve, _Curve, list[tuple[int, Samples]]]:
    """Pitch (MIDI) and level by frame, formants [frames, 5], and consonants with their start samples."""
    time = np.arange(frames) * _HOP / RATE
    pitch, level = np.full(frames, float(notes[0].pitch)), np.zeros(frames)
    formants = np.tile(np.array(_VOWELS["a"]), (frames, 1))
    vibrato = np.zeros(frames)
    consonants: list[tuple[int, Samples]] = []
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        end = note.end - 0.03
        here = (time >= note.start) & (time < end)
        age = time[here] - note.start
        pitch[time >= note.start] = note.pitch
        vibrato[here] = np.clip((age - 0.18) / 0.3, 0, 1)
        legato = following is not None and following.start - note.end < 0.02
        level[here] = np.minimum(age / 0.04 + 0.1, 1) * np.clip((end - time[here]) / 0.05, 0.35 if legato else 0, 1)
        vowel, glide = (_VOWELS[v] for v in rng.choice(list(_VOWELS), 2))
        move = np.clip((age / max(end - note.start, 0.1) - 0.6) / 0.4, 0, 1)[:, None] * 0.5
        formants[time >= note.start] = vowel
        formants[here] = np.array(vowel) * (1 - move) + np.array(glide) * move
        onset = str(rng.choice(_ONSETS, p=[0.3, 0.3, 0.25, 0.15]))
        _articulate(onset, note.start, time, level, formants, consonants, rng)
    glide_frames = int(0.035 * RATE / _HOP)
    pitch, level = _smooth(pitch, glide_frames), _smooth(level, 2)
    drift = _smooth(rng.normal(0, 1.0, frames), 12) * 0.12
    pitch += drift + vibrato * singer.vibrato_depth * np.sin(2 * np.pi * singer.vibrato_rate * time)
    level *= 1 + 0.1 * vibrato * np.sin(2 * np.pi * singer.vibrato_rate * time + 0.8)
    tract = np.apply_along_axis(_smooth, 0, formants, glide_frames) * singer.tract
    return pitch, level, tract, consonants


def _articulate(
    onset: str,
    start: float,
    time: _Curve,
    level: _Curve,
    formants: _Curve,
    consonants: list[tuple[int, Samples]],
    rng: np.random.Generator,
) -> None:
    """Shape the start of a syllable: hum with closed lips, hiss before it, or stop and burst."""
    at = int(start * RATE)
    if onset == "hum":
        closed = (time >= start) & (time < start + 0.08)
        formants[closed] = _HUM
        level[closed] *= 0.5
    elif onset == "hiss":
        n = int(rng.uniform(0.06, 0.11) * RATE)
        hiss = noise(rng, n, rng.uniform(3500, 5500), 10_000) * envelope(n, 0.03, 0.03) * np.float32(0.22)
        consonants.append((at - n + int(0.02 * RATE), hiss))
    elif onset == "stop":
        level[(time >= start - 0.04) & (time < start + 0.01)] = 0.0
        n = int(0.03 * RATE)
        consonants.append((at, noise(rng, n, 1200, 5000) * decay(n, 0.03) * np.float32(0.3)))


def _smooth(curve: _Curve, frames: int) -> _Curve:
    window = np.hanning(2 * frames + 3)[1:-1]
    padded = np.pad(curve, len(window) // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _tract_gain(frequency: _Curve, formants: _Curve) -> _Curve:
    """Magnitude of five resonances in series at ``frequency`` [frames, harmonics]; formants [frames, 5]."""
    gain = np.ones_like(frequency)
    for i, width in enumerate(_BANDWIDTHS):
        centre = formants[:, i : i + 1]
        gain *= centre**2 / np.sqrt((frequency**2 - centre**2) ** 2 + (frequency * width) ** 2)
    # The resonances above the fifth, left out here, lift what lies below them.
    return gain * np.exp(1.1 * (np.minimum(frequency, 5500.0) / 4500.0) ** 2)


def _harmonics(
    pitch: _Curve, level: _Curve, formants: _Curve, singer: Singer, length: int, rng: np.random.Generator
) -> Samples:
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    hertz *= 1 + rng.normal(0, 0.003, len(hertz))  # jitter
    per_sample = np.interp(np.arange(length) / _HOP, np.arange(len(hertz)), hertz)
    phase = np.cumsum(per_sample * (2 * np.pi / RATE)) % (2 * np.pi)
    carrier = np.exp(1j * phase).astype(np.complex64)
    voice = np.zeros(length, np.float32)
    ramp = (np.arange(_HOP, dtype=np.float32) / _HOP)[None]
    for first in range(0, len(level) - 1, _BLOCK):
        span = slice(first, min(first + _BLOCK, len(level) - 1) + 1)
        start, end = first * _HOP, min((span.stop - 1) * _HOP, length)
        if not level[span].any() or end <= start:
            continue
        count = int(_TOP / hertz[span].min())
        k = np.arange(1, count + 1)
        frequency = hertz[span, None] * k
        # The glottal pulse falls by 12 dB an octave; radiation from the lips gives 6 dB back.
        gains = _tract_gain(frequency, formants[span]) * k**-singer.tilt * level[span, None]
        gains *= np.clip((_TOP - frequency) / 1500.0, 0, 1)
        rotor = carrier[start:end]
        turning = rotor.copy()
        total = np.zeros((span.stop - 1 - first) * _HOP, np.float32)
        for harmonic in gains.T.astype(np.float32):
            gain = (harmonic[:-1, None] + np.diff(harmonic)[:, None] * ramp).reshape(-1)
            total[: end - start] += gain[: end - start] * turning.imag
            turning *= rotor
        voice[start:end] = total[: end - start]
    return voice
