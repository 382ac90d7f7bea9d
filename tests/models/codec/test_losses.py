"""Losses and metrics of a codec."""

from __future__ import annotations

import math

import pytest
import torch

from models.codec.codebook_use import codebook_use
from models.codec.losses import FLOOR, MelScales, mel_distance, mel_loss, wave_loss

RATE = 32_000


def sine(level: float, pitch: float = 1000.0) -> torch.Tensor:
    return level * torch.sin(2 * math.pi * pitch * torch.arange(16_000) / RATE)[None, None]


@pytest.fixture(scope="module")
def mels() -> MelScales:
    return MelScales(RATE)


def test_no_mel_band_is_empty(mels: MelScales) -> None:
    for spectrum in mels(torch.randn(1, 1, RATE)):
        assert (spectrum.mean(dim=-1) > 0).all()
    assert [spectrum.shape[1] for spectrum in mels(torch.randn(1, 1, RATE))] == [8, 16, 32, 64, 64, 64]


def test_a_full_scale_sine_is_near_one_at_every_scale(mels: MelScales) -> None:
    for spectrum in mels(sine(1.0)):
        middle = spectrum[..., spectrum.shape[-1] // 2]
        assert 0.3 < float(middle.max()) < 2.5


def test_distance_is_zero_for_the_same_and_grows_with_the_difference(mels: MelScales) -> None:
    wanted = mels(sine(0.5))
    distances = [float(mel_distance(mels(sine(0.5, pitch)), wanted)) for pitch in (1000, 1050, 4000)]
    assert distances[0] == 0
    assert 0 < distances[1] < distances[2]


def test_what_is_far_below_the_floor_does_not_count(mels: MelScales) -> None:
    assert float(mel_distance(mels(sine(FLOOR / 100)), mels(torch.zeros(1, 1, 16_000)))) < 0.01


def test_halving_a_loud_sound_costs_its_logarithm(mels: MelScales) -> None:
    loud = torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0))
    distance = float(mel_distance(mels(loud / 2), mels(loud)))
    assert distance == pytest.approx(math.log(2), rel=0.05)


def test_losses_are_distances(mels: MelScales) -> None:
    wanted, silence = sine(0.3), torch.zeros(1, 1, 16_000)
    assert float(wave_loss(wanted, wanted)) == 0
    assert float(mel_loss(mels, wanted, wanted)) == 0
    assert float(wave_loss(silence, wanted)) == pytest.approx(float(wanted.abs().mean()))
    made, true = mels(sine(0.2)), mels(sine(0.4))
    linear = sum(float((a - b).abs().mean()) for a, b in zip(made, true, strict=True)) / len(made)
    distance = float(mel_distance(made, true))
    assert float(mel_loss(mels, sine(0.2), sine(0.4))) == pytest.approx(linear + distance, rel=1e-4)


def test_silence_has_finite_losses(mels: MelScales) -> None:
    made, silence = sine(0.1).requires_grad_(), torch.zeros(1, 1, 16_000)
    (mel_loss(mels, made, silence) + wave_loss(made, silence)).backward()
    assert made.grad is not None
    assert made.grad.isfinite().all()


def test_codebook_use_counts_codes_and_their_evenness() -> None:
    even = torch.arange(8).repeat(2, 1, 5)
    one = torch.zeros(2, 1, 40, dtype=torch.long)
    first, second = codebook_use(torch.cat([even, one], dim=1), cardinality=16)
    assert first.used == 8
    assert first.perplexity == pytest.approx(8)
    assert second.used == 1
    assert second.perplexity == pytest.approx(1)


def test_halves_of_a_batch_average_to_the_loss_of_the_whole(mels: MelScales) -> None:
    wanted = torch.cat([sine(0.5), sine(0.01), torch.zeros(1, 1, 16_000), sine(0.2, 300)])
    made = torch.cat([sine(0.4), sine(0.02), sine(0.01), sine(0.2, 400)])

    def loss(part: slice) -> float:
        return float(mel_loss(mels, made[part], wanted[part]) + wave_loss(made[part], wanted[part]))

    halves = [loss(slice(start, None, 2)) for start in range(2)]
    assert sum(halves) / 2 == pytest.approx(loss(slice(None)), rel=1e-5)
