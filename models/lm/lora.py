"""Low-rank adapters (LoRA, Hu et al., 2021): train few parameters beside a frozen transformer, then merge them.

An adapted linear layer computes ``W x + (alpha / rank) · up (down x)``. Only ``down`` and ``up`` are trained; ``W``
stays in the module's state beside them, so that checkpoints are complete and sharding works as without adapters.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.lm.attention import Projection
from models.lm.transformer import StemTransformer


class LoRALinear(Projection):
    """A frozen linear layer without bias, and its adapter. Initially it equals the layer that it replaces."""

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

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """The weight matrix in effect: a plain layer with it computes the same."""
        return self.weight + self.scale * (self.up @ self.down)


def add_adapters(transformer: StemTransformer, rank: int, alpha: float) -> None:
    """Freeze a transformer and add an adapter to every linear layer of its blocks: attention and feed-forward.

    Args:
        transformer: changed in place.
        rank: inner width of the adapters.
        alpha: the adapters' weight is ``alpha / rank``.
    """
    transformer.requires_grad_(False)
    for parent in list(transformer.blocks.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Linear):
                setattr(parent, name, LoRALinear(child, rank, alpha))


@torch.no_grad()
def merged(transformer: StemTransformer) -> StemTransformer:
    """A plain transformer that computes the same as this one with its adapters."""
    adapters = {name: part for name, part in transformer.named_modules() if isinstance(part, LoRALinear)}
    state = transformer.state_dict()
    for name, adapter in adapters.items():
        state[f"{name}.weight"] = adapter.matrix()
        del state[f"{name}.down"], state[f"{name}.up"]
    plain = StemTransformer(transformer.size)
    plain.load_state_dict(state)
    return plain
