"""Low-rank adapters (LoRA, Hu et al., 2021): train a few numbers beside a frozen transformer, merge them in the end.

An adapted linear layer computes ``W x + (alpha / rank) · up (down x)``. Only ``down`` and ``up`` are trained; all
of ``W`` stays in the module's state beside them, so that checkpoints are whole and shards are shards.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.lm.transformer import StemTransformer


class LoRALinear(nn.Linear):
    """A frozen linear layer without bias, and its adapter. It starts as the layer that it replaces."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float) -> None:
        super().__init__(base.in_features, base.out_features, bias=False, device="meta")
        self.scale = alpha / rank
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        down = torch.randn(rank, base.in_features) / math.sqrt(base.in_features)
        self.down = nn.Parameter(down.to(self.weight))
        self.up = nn.Parameter(self.weight.new_zeros(base.out_features, rank))

    def forward(self, input: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        """The layer's output plus the adapter's."""
        return super().forward(input) + self.scale * F.linear(F.linear(input, self.down), self.up)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain layer that computes the same."""
        plain = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        plain.weight = nn.Parameter(self.weight + self.scale * (self.up @ self.down))
        return plain


def add_adapters(transformer: StemTransformer, rank: int, alpha: float) -> None:
    """Freeze a transformer and put an adapter on every linear layer of its blocks: attention and feed-forward.

    Args:
        transformer: changed in place.
        rank: inner width of the adapters.
        alpha: their weight is ``alpha / rank``.
    """
    transformer.requires_grad_(False)
    for parent, name, linear in _linears(transformer):
        setattr(parent, name, LoRALinear(linear, rank, alpha))


def merge_adapters(transformer: StemTransformer) -> None:
    """Make the adapters part of the weights: in place, an ordinary transformer again."""
    for parent, name, linear in _linears(transformer):
        if isinstance(linear, LoRALinear):
            setattr(parent, name, linear.merged())


def _linears(transformer: StemTransformer) -> list[tuple[nn.Module, str, nn.Linear]]:
    """The linear layers of the blocks, each with the module that holds it and its name there."""
    return [
        (parent, name, child)
        for parent in transformer.blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
