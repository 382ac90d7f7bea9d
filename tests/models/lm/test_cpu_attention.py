from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.tiny import tiny_lm
from torch import Tensor

from models.lm import attention
from models.lm.cpu_attention import causal_attention
from models.lm.transformer import Condition


def attend(function: object, q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
    """What comes out, and the gradients of a weighted sum of it."""
    inputs = [x.detach().clone().requires_grad_() for x in (q, k, v)]
    mixed = function(*inputs)  # type: ignore[operator]
    weights = torch.linspace(-1, 1, mixed.numel()).view(mixed.shape).to(mixed.dtype)
    (mixed * weights).sum().backward()
    return [mixed.detach().float(), *(x.grad.float() for x in inputs if x.grad is not None)]


@pytest.mark.parametrize("steps", [1, 191, 192, 193, 500])
def test_it_is_causal_attention_and_its_gradient(steps: int) -> None:
    torch.manual_seed(0)
    qkv = torch.randn(3, 2, 4, steps, 16).bfloat16()
    ours = attend(causal_attention, *qkv)
    exact = attend(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), *qkv.float())
    for mine, wanted in zip(ours, exact, strict=True):
        assert (mine - wanted).norm() <= 0.01 * wanted.norm() + 1e-5


def test_no_step_sees_a_later_one() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 400, 16).bfloat16()
    before = causal_attention(q, k, v)
    k[:, :, 250:], v[:, :, 250:] = 7.0, 9.0
    after = causal_attention(q, k, v)
    assert torch.equal(before[:, :, :250], after[:, :, :250])
    assert not torch.equal(before[:, :, 250:], after[:, :, 250:])


def test_training_in_bfloat16_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def noted(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        calls.append(q.dtype)
        return causal_attention(q, k, v)

    monkeypatch.setattr(attention, "causal_attention", noted)
    model = tiny_lm().transformer
    tokens = torch.zeros(1, model.size.streams, 10, dtype=torch.long)
    none = Condition.null(1, model.size.text_dim)
    with torch.autocast("cpu", torch.bfloat16):
        model(tokens, none)
    assert calls == [torch.bfloat16] * model.size.layers
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(tokens, none)
    model(tokens, none)
    assert len(calls) == model.size.layers
