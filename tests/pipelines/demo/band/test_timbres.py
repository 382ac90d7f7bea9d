from __future__ import annotations

import numpy as np
import pytest

from pipelines.demo.band.drumkit import DRUMS, KITS, TAKES, build_kit
from pipelines.demo.band.synth import RATE
from pipelines.demo.band.timbres import INSTRUMENTS, Player

A3 = 57


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_notes_sound_at_their_pitch(name: str) -> None:
    note = Player.hire(name, np.random.default_rng(0)).note(A3, RATE // 2, 0.8)[0][: RATE // 2]
    power = np.abs(np.fft.rfft(note * np.hanning(len(note)), 1 << 17)) ** 2
    hertz = np.arange(len(power)) * RATE / (1 << 17)
    inside = power * (hertz < 2000)
    strongest = hertz[int(inside.argmax())]
    octaves = {0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0}
    assert min(abs(strongest / 220 - ratio) / ratio for ratio in octaves) < 0.01


def test_notes_are_rendered_once_and_end_in_silence() -> None:
    player = Player.hire("piano", np.random.default_rng(0))
    note = player.note(60, RATE // 2, 0.8)
    assert player.note(60, RATE // 2, 0.8) is note
    assert player.note(60, RATE // 2, 0.3) is not note
    assert np.abs(note[:, -8:]).max() < 1e-3 * np.abs(note).max()


@pytest.mark.parametrize("name", list(KITS))
def test_drums_sound_where_drums_do(name: str) -> None:
    _, sounds = build_kit(name, np.random.default_rng(1))
    assert set(sounds) == set(DRUMS)
    centres = {drum: np.mean([_centre(take) for take in takes]) for drum, takes in sounds.items()}
    assert centres["kick"] < 400 < centres["snare"] < centres["hat"]
    assert centres["tom_low"] < centres["tom_high"]
    for takes in sounds.values():
        assert len(takes) == TAKES
        assert all(np.abs(take).max() == pytest.approx(1.0) for take in takes)
        assert not np.array_equal(takes[0], takes[1])


def _centre(sound: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(sound.mean(axis=0))) ** 2
    return float((power * np.fft.rfftfreq(sound.shape[1], 1 / RATE)).sum() / power.sum())
