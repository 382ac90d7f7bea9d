"""Losses share the gradient by weight, whatever their scale and however a batch is divided."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.codec.balancer import ITEMS_A_WORKER, Balancer


def items(count: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(count, 1, 20, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def losses(output: Tensor, scale: float = 1.0) -> dict[str, Tensor]:
    """Two means over items; the first one's gradients are of other directions and norms in each item."""
    return {"square": scale * output.square().mean(), "line": output[:, :, ::2].mean()}


def norm_by_item(gradient: Tensor) -> Tensor:
    return gradient.flatten(1).norm(dim=1)


def test_a_weight_is_a_share_of_the_gradient_whatever_the_losses_scale() -> None:
    output = items()
    alone = Balancer({"square": 3.0})(losses(output), output).gradient
    other = Balancer({"line": 1.0})(losses(output), output).gradient
    for scale in (1.0, 1000.0):
        both = Balancer({"square": 3.0, "line": 1.0})(losses(output, scale), output).gradient
        torch.testing.assert_close(both, 0.75 * alone + 0.25 * other)
    assert float(norm_by_item(alone).mean()) == pytest.approx(1)
    assert float(norm_by_item(other).mean()) == pytest.approx(1)


def test_the_scalar_has_the_balanced_gradient_as_a_mean_over_items() -> None:
    output = items()
    balanced = Balancer({"square": 1.0})(losses(output), output)
    sound = output.detach().clone().requires_grad_()
    balanced.loss(sound).backward()
    assert sound.grad is not None
    torch.testing.assert_close(sound.grad, ITEMS_A_WORKER * balanced.gradient / 5)


@pytest.mark.parametrize("cut", [2, 4])
def test_a_step_is_the_same_however_its_batch_is_divided(cut: int) -> None:
    whole, divided = (Balancer({"square": 1.0, "line": 2.0}) for _ in range(2))
    for seed in range(3):
        output = items(seed=seed)
        one = whole(losses(output), output)
        pieces = [piece.detach().requires_grad_() for piece in (output[:cut], output[cut:])]
        several = [divided(losses(piece), piece) for piece in pieces]
        if seed:  # at first each batch's own norms are all that is known
            torch.testing.assert_close(torch.cat([part.gradient for part in several]), one.gradient)
        whole.update([one])
        divided.update(several)
        torch.testing.assert_close(divided.norm_sum, whole.norm_sum)


def test_averages_have_no_bias_towards_their_start() -> None:
    balancer, output = Balancer({"line": 1.0}), items()
    for _ in range(3):
        balanced = balancer(losses(output), output)
        assert float(norm_by_item(balanced.gradient).mean()) == pytest.approx(1)
        balancer.update([balanced])


def test_averages_are_remembered_in_a_checkpoint_and_change_slowly() -> None:
    balancer, output = Balancer({"square": 1.0}), items()
    balancer.update([balancer(losses(output), output)])
    resumed = Balancer({"square": 1.0})
    resumed.load_state_dict(balancer.state_dict())
    louder = resumed(losses(output, 10.0), output)
    assert float(norm_by_item(louder.gradient).mean()) == pytest.approx(10)
    resumed.update([louder])
    after = resumed(losses(output, 10.0), output)
    assert float(norm_by_item(after.gradient).mean()) == pytest.approx(10 / 5.5, rel=1e-2)


def test_a_loss_without_gradient_is_harmless() -> None:
    output = items()
    balanced = Balancer({"square": 1.0, "line": 1.0})(losses(output) | {"line": 0 * output.sum()}, output)
    assert balanced.gradient.isfinite().all()
