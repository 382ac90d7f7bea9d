"""What a song's stems leave over."""

from __future__ import annotations

import numpy as np
import pytest

from models.separation.quality import residual_db


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((2, 10_000)).astype(np.float32)


def test_the_residual_is_what_no_stem_holds() -> None:
    bass, drums, lost = noise(0), noise(1), 0.1 * noise(2)
    mix = bass + drums + lost
    expected = 10 * np.log10(np.square(lost).sum() / np.square(mix).sum())
    assert residual_db(mix, {"bass": bass, "drums": drums}) == pytest.approx(expected, abs=0.01)


def test_stems_that_add_up_leave_the_floor() -> None:
    assert residual_db(noise(0), {"half": 0.5 * noise(0), "rest": 0.5 * noise(0)}) == -120


def test_stems_that_hold_nothing_leave_everything() -> None:
    assert residual_db(noise(0), {"bass": 0 * noise(0)}) == pytest.approx(0)
    assert residual_db(noise(0), {}) == pytest.approx(0)


def test_the_song_itself_is_left_alone() -> None:
    mix = noise(0)
    residual_db(mix, {"bass": noise(1)})
    np.testing.assert_array_equal(mix, noise(0))


def test_silence_has_no_residual() -> None:
    assert residual_db(np.zeros((2, 100), np.float32), {"bass": noise(0)[:, :100]}) == 0.0


def test_offsets_count_on_neither_side() -> None:
    mix, lost = noise(0) + noise(1), 0.1 * noise(2)
    plain = residual_db(mix + lost, {"bass": noise(0), "drums": noise(1)})
    assert residual_db(mix + lost + 0.5, {"bass": noise(0), "drums": noise(1)}) == pytest.approx(plain, abs=0.01)
    assert residual_db(np.full((2, 100), 0.5, np.float32), {"bass": noise(0)[:, :100]}) == 0.0
