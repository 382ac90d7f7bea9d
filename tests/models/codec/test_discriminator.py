"""Telling real from decoded sound, and what a codec learns from that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.codec.discriminator import (
    Discriminator,
    DiscriminatorSize,
    Judgement,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from models.errors import StemsError

SMALL = DiscriminatorSize(filters=2, windows=(256, 64))


def noise(*shape: int, seed: int = 1) -> Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(SMALL)


def judged(logits: list[float], features: list[float]) -> list[Judgement]:
    """One scale whose logits and only feature map hold these values, one for each item."""
    both = [torch.tensor(values)[:, None, None, None].expand(-1, 1, 3, 4) for values in (logits, features)]
    return [Judgement(both[0], [both[1]])]


def test_each_window_size_judges_with_its_own_resolution(discriminator: Discriminator) -> None:
    first, second = discriminator(noise(2, 1, 1600))
    assert first.logits.shape == (2, 1, 26, 17)  # 1600 / 64 frames; 129 frequencies halved three times
    assert second.logits.shape == (2, 1, 101, 5)
    assert [feature.shape[1] for feature in first.features] == [2] * 5
    assert [feature.shape[3] for feature in first.features] == [129, 65, 33, 17, 17]


def test_the_full_size_is_encodecs() -> None:
    full = Discriminator(DiscriminatorSize())
    assert len(full.scales) == 5
    assert full.scales[0].layers[1].weight.shape == (32, 32, 3, 9)  # type: ignore[union-attr, index]


def test_it_sees_phase_and_not_only_level(discriminator: Discriminator) -> None:
    wav = noise(1, 1, 1600)
    assert not torch.allclose(discriminator(wav)[0].logits, discriminator(-wav)[0].logits)


def test_items_do_not_influence_each_other(discriminator: Discriminator) -> None:
    wav = noise(3, 1, 1600)
    for many, one in zip(discriminator(wav), discriminator(wav[1:2]), strict=True):
        torch.testing.assert_close(many.logits[1:2], one.logits)


def test_hinge_losses_ask_for_one_on_either_side() -> None:
    sure, unsure, wrong = judged([1.5], [0.0]), judged([0.0], [0.0]), judged([-1.5], [0.0])
    assert float(discriminator_loss(sure, wrong)) == 0
    assert float(discriminator_loss(unsure, unsure)) == 2
    assert float(discriminator_loss(wrong, sure)) == 5
    assert [float(adversarial_loss(one)) for one in (sure, unsure, wrong)] == [0, 1, 2.5]


def test_features_are_compared_relative_to_the_real_ones() -> None:
    real, made = judged([0, 0], [2.0, -0.1]), judged([0, 0], [3.0, -0.1])
    assert float(feature_loss(real, real)) == 0
    assert float(feature_loss(real, made)) == pytest.approx(0.25)  # half of it missed, by one of two items
    louder = judged([0, 0], [20.0, -1.0]), judged([0, 0], [30.0, -1.0])
    assert float(feature_loss(*louder)) == pytest.approx(0.25)


def test_features_of_real_sound_are_not_pulled(discriminator: Discriminator) -> None:
    made, real = (noise(1, 1, 800, seed=seed).requires_grad_() for seed in (1, 2))
    feature_loss(discriminator(real), discriminator(made)).backward()
    assert real.grad is None
    assert made.grad is not None
    assert made.grad.abs().sum() > 0


def test_it_learns_to_tell_noise_from_tones() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(DiscriminatorSize(filters=4, windows=(256,)))
    learner = torch.optim.Adam(discriminator.parameters(), lr=1e-2, betas=(0.5, 0.9))
    tones = 0.3 * torch.sin(0.2 * torch.arange(1600) * torch.tensor([1.0, 1.5, 2.0])[:, None])[:, None]
    for step in range(40):
        loss = discriminator_loss(discriminator(tones), discriminator(noise(3, 1, 1600, seed=step)))
        learner.zero_grad()
        loss.backward()
        learner.step()
    assert float(loss.detach()) < 0.5


@pytest.mark.parametrize("changes", [{"filters": 0}, {"windows": ()}, {"windows": (250,)}])
def test_impossible_sizes_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(StemsError):
        DiscriminatorSize(**changes)  # type: ignore[arg-type]
