"""The training loss of the language model."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from models.lm.delay import delay_codes, delay_mask
from models.lm.transformer import Condition, StemTransformer


@dataclass(frozen=True)
class StreamLoss:
    """Cross-entropy in nats: the mean, which training minimises, and that of each stream of each example."""

    mean: Float[Tensor, ""]
    per_example: Float[Tensor, "batch streams"]

    @property
    def per_stream(self) -> Float[Tensor, " streams"]:
        """The mean over examples."""
        return self.per_example.mean(dim=0)


def stream_loss(
    model: StemTransformer,
    columns: Int[Tensor, "batch streams columns"],
    loss_columns: Bool[Tensor, "batch columns"],
    condition: Condition,
    delays: tuple[int, ...],
) -> StreamLoss:
    """Delay the columns, run the model on the steps that predict them, and take the loss at ``loss_columns``.

    The last ``delay[k]`` columns of stream k carry no loss: only steps where every stream is defined are run
    (as in the reference). The mean is over streams of the mean over examples of each example's mean: examples count
    the same whatever their task, and a batch split over workers gives the same loss.
    """
    steps = columns.shape[-1]
    sequence = delay_codes(columns, delays, model.special)
    wanted = delay_mask(loss_columns, delays).transpose(1, 2)
    # Outside the wanted places there may be special ids, which are not classes: ignore_index skips them.
    targets = sequence[..., 1 : steps + 1].transpose(1, 2).masked_fill(~wanted, -100)
    # Back in the heads' layout, [batch, steps, streams, cardinality], so that flattening copies nothing.
    logits = model(sequence[..., :steps], condition).transpose(1, 2)
    losses = F.cross_entropy(logits.flatten(0, 2).float(), targets.flatten(), reduction="none", ignore_index=-100)
    per_example = losses.view(targets.shape).sum(dim=1) / wanted.sum(dim=1).clamp(min=1)
    return StreamLoss(per_example.mean(dim=0).mean(), per_example)
