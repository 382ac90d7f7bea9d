"""Where the vocal probe listens, and what it makes of what it hears."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.errors import StemsError
from models.separation import Separator
from models.separation.overlap_add import Window, windows
from models.separation.vocals import DEFAULT_THRESHOLD, Heard, probe_windows, song_score

RATE = 44100
SEGMENT = RATE // 2


class SideIsVocals(nn.Module):
    """Stands for a perfect separator: the voice is on the left alone, all else on the right alone."""

    sources = ("rest", "vocals")
    samplerate = RATE
    segment = 0.5

    def forward(self, mix: Tensor) -> Tensor:
        left, right = torch.tensor([1.0, 0.0])[:, None], torch.tensor([0.0, 1.0])[:, None]
        return torch.stack([mix * right, mix * left], dim=1)


def chosen(wave: Tensor) -> list[Window]:
    return probe_windows(windows(3, wave.shape[-1], SEGMENT), wave, RATE)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32)


def test_the_score_is_the_share_of_the_most_vocal_excerpts() -> None:
    left, right = 0.001 * noise(30, 1), noise(30, 2)
    sung = left.copy()
    sung[4 * RATE : 20 * RATE] = noise(16, 3)
    scores = Separator([SideIsVocals()]).vocal_score(
        [np.stack([sung, right]), np.stack([left, right]), np.stack([right, left]), np.zeros((2, RATE), np.float32)]
    )
    assert scores[0] == pytest.approx(0.2, abs=0.05)  # half of it is sung, at a share of a half
    assert scores[1] == pytest.approx(0.02)  # as little as any separator lets through
    assert scores[2] > 0.99
    assert scores[3] == 0


def test_windows_are_spread_loud_and_those_of_the_separation() -> None:
    wave = torch.from_numpy(np.stack([noise(60), noise(60, 1)]))
    wave[:, : 30 * RATE] *= 1e-4
    wave[:, int(40.5 * RATE) : int(41.5 * RATE)] *= 10
    found = chosen(wave)
    assert set(found) <= set(windows(3, wave.shape[-1], SEGMENT))
    starts = [w.start for w in found]
    assert starts == sorted(starts)
    assert min(starts) >= 30 * RATE - SEGMENT
    assert any(40.49 * RATE <= s <= 41.5 * RATE - SEGMENT for s in starts)
    assert 20 <= len(found) <= 28  # half of the 48 parts are silent


def test_a_song_is_as_vocal_as_its_most_vocal_three_quarters() -> None:
    excerpts = [Heard(1, 10), Heard(9, 10), Heard(0, 0), Heard(3, 30)]
    assert song_score(excerpts) == pytest.approx((0.9 * 0.1 * 0.1) ** (1 / 3))
    assert song_score([*excerpts, Heard(50, 100)]) == pytest.approx((0.9 * 0.5 * 0.1 * 0.1) ** (1 / 4))
    # A voice in a quarter of a song is heard, what leaks into every excerpt is not.
    assert song_score([Heard(5, 10)] + 3 * [Heard(0, 10)]) > DEFAULT_THRESHOLD > song_score(4 * [Heard(0.1, 10)])
    assert song_score(excerpts[:1]) == pytest.approx(0.1)
    assert song_score([]) == 0
    assert song_score([Heard(0, 0)]) == 0


def test_short_and_silent_songs() -> None:
    wave = torch.ones(2, 1000)
    (only,) = chosen(wave)
    assert (only.start, only.length) == (0, 1000)
    assert chosen(0 * wave) == []
    assert chosen(torch.zeros(2, 10 * RATE)) == []
    for samples in (SEGMENT + 1, 2 * SEGMENT, 3 * SEGMENT - 1):
        found = chosen(torch.ones(2, samples))
        assert len(found) == samples // SEGMENT
        assert all(w.length == SEGMENT for w in found)


def test_a_sound_near_the_end_is_heard() -> None:
    wave = torch.zeros(2, 10 * RATE)
    wave[:, -100:] = 1
    assert max(w.start + w.length for w in chosen(wave)) == 10 * RATE


def test_a_separator_without_vocals_cannot_score() -> None:
    network = SideIsVocals()
    network.sources = ("rest", "noise")
    with pytest.raises(StemsError, match="its sources are rest, noise"):
        Separator([network]).vocal_score([np.zeros((2, RATE), np.float32)])
