"""Losses and metrics of a codec."""

from __future__ import annotations

import math

import pytest
import torch

from models.codec import CodecSize, build_codec
from models.codec.losses import FLOOR, LossWeights, MelScales, mel_distance, reconstruction_loss
from models.codec.metrics import codebook_use

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


def test_the_loss_is_the_weighted_sum_of_its_parts(mels: MelScales) -> None:
    torch.manual_seed(0)
    codec, wav = build_codec(CodecSize(2, 8, 16, 1), 1), sine(0.3)
    weights = LossWeights(mel=2, wave=0.1, commitment=1)
    loss, parts = reconstruction_loss(mels, codec(wav), wav, weights)
    assert set(parts) == {"linear", "log", "wave", "commitment"}
    total = 2 * (parts["linear"] + parts["log"]) + 0.1 * parts["wave"] + parts["commitment"]
    assert float(loss.detach()) == pytest.approx(total, rel=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in codec.parameters())


def test_silence_has_a_finite_loss(mels: MelScales) -> None:
    codec, wav = build_codec(CodecSize(2, 8, 16, 1), 1), torch.zeros(1, 1, 16_000)
    loss, _ = reconstruction_loss(mels, codec(wav), wav, LossWeights())
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in codec.parameters())


def test_codebook_use_counts_codes_and_their_evenness() -> None:
    even = torch.arange(8).repeat(2, 1, 5)
    one = torch.zeros(2, 1, 40, dtype=torch.long)
    first, second = codebook_use(torch.cat([even, one], dim=1), cardinality=16)
    assert first.used == 8
    assert first.perplexity == pytest.approx(8)
    assert second.used == 1
    assert second.perplexity == pytest.approx(1)


def test_halves_of_a_batch_average_to_the_loss_of_the_whole(mels: MelScales) -> None:
    torch.manual_seed(0)
    codec = build_codec(CodecSize(2, 8, 16, 1), 1)
    wav = torch.cat([sine(0.5), sine(0.01), torch.zeros(1, 1, 16_000), sine(0.2, 300)])
    whole, *halves = (
        float(reconstruction_loss(mels, codec(part), part, LossWeights())[0].detach())
        for part in (wav, wav[::2], wav[1::2])
    )
    assert sum(halves) / 2 == pytest.approx(whole, rel=1e-5)
