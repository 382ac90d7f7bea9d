"""Balance losses by their gradients at the network's output, not by their values (EnCodec §3.4).

A loss's weight is then its share of the gradient, independent of its scale and of changes during training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

TINY = 1e-12

ITEMS_A_WORKER = 8
"""The reference sums the gradients of a worker's items (64 on 8 GPUs), but takes the mean of the commitment loss,
which therefore weighs an eighth. Here all are means, so that a batch can be split in any way; this factor restores
the ratio."""


class Balanced(NamedTuple):
    """One micro-batch of a balanced step.

    ``gradient`` is per item and independent of the batch; ``norms`` are each loss's gradient norms, summed over the
    items; ``items`` is their number.
    """

    gradient: Float[Tensor, "batch 1 samples"]
    norms: Float[Tensor, " losses"]
    items: int

    def loss(self, output: Float[Tensor, "batch 1 samples"]) -> Float[Tensor, ""]:
        """A scalar with the balanced gradient: ``ITEMS_A_WORKER`` times its mean over items."""
        return ITEMS_A_WORKER * (output * self.gradient).sum() / self.items


class Balancer(nn.Module):
    """Scales the gradient of each loss to a share of a total norm of 1.

    The gradient of loss k for an item is scaled by ``share[k] / average[k]``: ``share`` is its part of all weights,
    ``average`` the moving average of its norm per item. :meth:`update` moves the averages once per step, after it,
    from all micro-batches of all workers. So a step does not depend on how its batch was split, and a skipped step
    with a broken loss leaves no trace. The averages are buffers: a checkpoint holds them.
    """

    norm_sum: Tensor
    norm_weight: Tensor

    def __init__(self, weights: Mapping[str, float], decay: float = 0.999) -> None:
        super().__init__()
        total = sum(weights.values())
        self.shares = {name: weight / total for name, weight in weights.items()}
        self.decay = decay
        # The quotient of the two is the average without bias towards its initial value.
        self.register_buffer("norm_sum", torch.zeros(len(weights)))
        self.register_buffer("norm_weight", torch.zeros(()))

    def forward(self, losses: Mapping[str, Tensor], output: Float[Tensor, "batch 1 samples"]) -> Balanced:
        """Balance the losses (each a mean over items) of an ``output`` that requires a gradient.

        Keeps the losses' graphs. Before the first :meth:`update`, this batch's own norms serve as the averages.
        """
        items = len(output)
        gradients = [
            items * torch.autograd.grad(losses[name], output, retain_graph=True)[0].float() for name in self.shares
        ]
        norms = torch.stack([gradient.flatten(1).norm(dim=1).sum() for gradient in gradients])
        average = torch.where(self.norm_weight > 0, self.norm_sum / self.norm_weight, norms / items)
        scales = torch.tensor(list(self.shares.values()), device=norms.device) / average.clamp(min=TINY)
        combined = sum(scale * gradient for scale, gradient in zip(scales, gradients, strict=True))
        return Balanced(combined, norms, items)

    @torch.no_grad()
    def update(self, seen: Sequence[Balanced]) -> None:
        """Move the averages after a step, given this worker's micro-batches. All workers must call it."""
        totals = torch.stack([torch.cat([part.norms, part.norms.new_tensor([part.items])]) for part in seen]).sum(0)
        if dist.is_initialized():
            dist.all_reduce(totals)
        self.norm_sum.mul_(self.decay).add_(totals[:-1] / totals[-1])
        self.norm_weight.mul_(self.decay).add_(1)
