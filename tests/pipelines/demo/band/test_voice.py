from __future__ import annotations

import numpy as np

from pipelines.demo.band.score import Note
from pipelines.demo.band.synth import RATE
from pipelines.demo.band.voice import Singer, sing

SINGER = Singer(low=48, tract=1.0, vibrato_rate=5.5, vibrato_depth=0.5, breath=0.02, tilt=0.9)
A2 = 45  # 110 Hz: harmonics close enough together to draw the formants


def _sung(syllables: int) -> np.ndarray:
    notes = [Note(0.1 + i, 1.0 + i, A2, 0.9) for i in range(syllables)]
    return sing(notes, SINGER, (syllables + 1) * RATE, np.random.default_rng(3))


def _levels(voice: np.ndarray, syllable: int) -> np.ndarray:
    """Levels in dB of the first 40 harmonics in the middle of a syllable."""
    part = voice[int((0.35 + syllable) * RATE) : int((0.6 + syllable) * RATE)]
    power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
    bins = np.arange(1, 41) * 110 * len(part) / RATE
    return 10 * np.log10([power[int(b) - 4 : int(b) + 6].max() for b in bins])


def test_vowels_have_formants_that_change_from_syllable_to_syllable() -> None:
    voice = _sung(8)
    shapes = np.stack([_levels(voice, i) for i in range(8)])
    # A plain harmonic tone falls steadily; a vowel rises again towards its formants.
    assert (np.diff(shapes, axis=1).max(axis=1) > 2.0).all()
    assert shapes.max(axis=1).min() > shapes[:, -1].max() + 10
    # The second and third formants, 800 to 3000 Hz, move by many dB between vowels.
    assert shapes[:, 8:27].std(axis=0).mean() > 4.0


def test_voice_sounds_only_where_it_sings() -> None:
    voice = _sung(2)
    loud = np.sqrt(np.mean(voice[int(0.3 * RATE) : int(0.8 * RATE)] ** 2))
    assert loud > 0.5
    assert np.abs(voice[int(2.2 * RATE) :]).max() < 0.01 * loud
    assert not sing([], SINGER, 1000, np.random.default_rng(0)).any()


def test_pitch_wavers_with_the_vibrato() -> None:
    notes = [Note(0.0, 3.0, 57, 0.9)]
    voice = sing(notes, SINGER, 3 * RATE, np.random.default_rng(5))
    steady = [_pitch(voice, at) for at in np.arange(1.0, 2.5, 0.02)]
    assert abs(np.median(steady) - 220) < 5
    assert 3 < max(steady) - min(steady) < 20  # half a semitone each way is ±6.4 Hz


def _pitch(voice: np.ndarray, at: float) -> float:
    part = voice[int(at * RATE) : int(at * RATE) + 2048]
    power = np.abs(np.fft.rfft(part * np.hanning(2048), 1 << 16))
    low, high = (int(f * (1 << 16) / RATE) for f in (180, 270))
    return float((low + power[low:high].argmax()) * RATE / (1 << 16))
