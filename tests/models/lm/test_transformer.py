from __future__ import annotations

import pytest
import torch
from helpers.tiny import tiny_lm
from torch import Tensor

from models.lm.transformer import Condition, StemTransformer


@pytest.fixture
def model() -> StemTransformer:
    return tiny_lm().transformer


def gradients(model: StemTransformer, logits: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    logits.square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_short_and_long_text_are_computed_alike(model: StemTransformer) -> None:
    head_dim = model.size.dim // model.size.heads
    states = torch.randn(2, 5, model.size.text_dim)
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    short = Condition.of(states, valid)
    assert short.states.shape[1] < head_dim
    tokens = torch.randint(model.special + 1, (2, model.size.streams, 20))
    # The same text among so many empty positions that the products are taken in the other order.
    first, second = model(tokens, short), model(tokens, short.padded(head_dim + 3))
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
    ours, theirs = gradients(model, first), gradients(model, second)
    assert ours.keys() == theirs.keys() == dict(model.named_parameters()).keys()
    for name, grad in ours.items():
        torch.testing.assert_close(grad, theirs[name], rtol=1e-4, atol=1e-6, msg=name)


def test_text_padding_does_not_change_the_logits(model: StemTransformer) -> None:
    tokens = torch.randint(model.special + 1, (1, model.size.streams, 8))
    text = Condition.of(torch.randn(1, 5, model.size.text_dim), torch.ones(1, 5, dtype=torch.bool))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, text), model(tokens, text.padded(12)))


def test_a_row_without_text_is_all_zeros_and_no_nan(model: StemTransformer) -> None:
    tokens = torch.randint(model.special + 1, (1, model.size.streams, 8))
    states = torch.randn(1, 5, model.size.text_dim)
    with torch.no_grad():
        none = model(tokens, Condition.null(1, model.size.text_dim))
        dropped = model(tokens, Condition.of(states, torch.zeros(1, 5, dtype=torch.bool)))
    assert none.isfinite().all()
    torch.testing.assert_close(none, dropped)


def test_recomputing_changes_neither_loss_nor_gradient(model: StemTransformer) -> None:
    tokens = torch.randint(model.special + 1, (2, model.size.streams, 20))
    none = Condition.null(2, model.size.text_dim)
    kept = gradients(model, model(tokens, none))
    model.recompute = True
    again = gradients(model, model(tokens, none))
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)
