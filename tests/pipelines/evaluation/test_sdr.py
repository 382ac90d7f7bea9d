"""SDR where the answer is known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.evaluation.sdr import sdr, si_sdr

TIME = np.arange(1000) / 1000
SINE = np.stack([np.sin(2 * np.pi * 5 * TIME), 0.5 * np.sin(2 * np.pi * 7 * TIME)]).astype(np.float32)
COSINE = np.stack([np.cos(2 * np.pi * 5 * TIME), 0.5 * np.cos(2 * np.pi * 7 * TIME)]).astype(np.float32)


def test_scale_counts_in_sdr_and_not_in_si_sdr() -> None:
    assert sdr(SINE, 0.9 * SINE) == pytest.approx(20, abs=1e-4)
    assert sdr(SINE, 2 * SINE) == pytest.approx(0, abs=1e-4)
    assert sdr(SINE, -SINE) == pytest.approx(-20 * math.log10(2), abs=1e-4)
    assert si_sdr(SINE, -0.25 * SINE) > 100


def test_an_orthogonal_error_of_known_size_gives_its_ratio() -> None:
    estimate = SINE + 0.1 * COSINE
    assert sdr(SINE, estimate) == pytest.approx(20, abs=1e-3)
    assert si_sdr(SINE, estimate) == pytest.approx(20, abs=1e-3)
    assert si_sdr(SINE, 7 * estimate) == pytest.approx(20, abs=1e-3)
    assert sdr(SINE, 7 * estimate) < 0


def test_the_ratio_is_of_the_whole_song_not_a_mean_over_channels() -> None:
    reference = np.array([[3.0, 0.0], [0.0, 1.0]])
    estimate = np.array([[3.0, 0.0], [0.0, 0.0]])
    assert sdr(reference, estimate) == pytest.approx(10)


def test_an_estimate_of_silence_has_an_sdr_of_zero() -> None:
    silence = np.zeros_like(SINE)
    assert sdr(SINE, silence) == pytest.approx(0)
    assert sdr(silence, SINE) == -math.inf
    assert sdr(silence, silence) == math.inf
    assert si_sdr(SINE, silence) == -math.inf
    assert si_sdr(silence, SINE) == -math.inf
    assert sdr(SINE, SINE) == math.inf


def test_an_estimate_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        sdr(SINE, SINE[:1])
    with pytest.raises(ValueError, match="shape"):
        si_sdr(SINE, SINE[:1])
