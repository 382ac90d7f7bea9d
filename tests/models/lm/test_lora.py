"""Adapters: what is trained, what is not, and that merging them changes nothing that is computed."""

from __future__ import annotations

import pytest
import torch
from helpers.tiny import tiny_lm

from models.lm.lora import LoRALinear, add_adapters, merged
from models.lm.transformer import Condition, StemTransformer

# Fewer words than a head has dimensions, and more steps.
TOKENS = torch.randint(0, 16, (2, 4, 9), generator=torch.Generator().manual_seed(0))


def logits(transformer: StemTransformer) -> torch.Tensor:
    text = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1))
    return transformer(TOKENS, Condition.of(text, torch.ones(2, 3, dtype=torch.bool)))


def adapted(spread: float = 0.0) -> StemTransformer:
    transformer = tiny_lm().transformer
    add_adapters(transformer, rank=2, alpha=4.0)
    for name, parameter in transformer.named_parameters():
        if spread and name.endswith(".up"):
            torch.nn.init.normal_(parameter, std=spread)
    return transformer


def test_it_starts_as_the_model_that_it_adapts() -> None:
    with torch.no_grad():
        assert torch.equal(logits(adapted()), logits(tiny_lm().transformer))


def test_every_adapter_learns_and_nothing_else() -> None:
    transformer = adapted(spread=0.1)
    logits(transformer).square().sum().backward()
    learned = {name for name, p in transformer.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert learned == {name for name, p in transformer.named_parameters() if p.requires_grad}
    # Self-attention has two linear layers, cross-attention three, the feed-forward two; each adapter is a pair.
    assert len(learned) == len(transformer.layers) * 7 * 2
    assert all(name.endswith((".up", ".down")) for name in learned)


def test_merged_it_is_an_ordinary_transformer_that_computes_the_same() -> None:
    transformer, original = adapted(spread=0.1), tiny_lm().transformer
    plain = merged(transformer)
    assert plain.state_dict().keys() == original.state_dict().keys()
    with torch.no_grad():
        expected = logits(transformer)
        assert (expected - logits(original)).abs().max() > 0.1
        torch.testing.assert_close(logits(plain), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("recompute", [False, True])
def test_its_gradients_are_those_of_the_low_rank_part(recompute: bool) -> None:
    transformer = adapted(spread=0.1)
    transformer.recompute = recompute
    plain = merged(transformer)
    logits(transformer).square().mean().backward()
    logits(plain).square().mean().backward()
    for part in ("expand", "cross_attention.query", "self_attention.qkv"):
        layer, whole = (either.layers[0].get_submodule(part) for either in (transformer, plain))
        assert isinstance(layer, LoRALinear)
        assert isinstance(whole.weight.grad, torch.Tensor)
        expected = layer.scale * whole.weight.grad @ layer.down.T
        torch.testing.assert_close(layer.up.grad, expected, atol=1e-6, rtol=1e-3)
