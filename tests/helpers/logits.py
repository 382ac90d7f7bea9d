"""Logits as the reference lays them out: by code, not by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def undelay_logits(
    logits: Float[Tensor, "batch streams steps cardinality"], delays: Sequence[int], frames: int
) -> tuple[Float[Tensor, "batch streams frames cardinality"], Bool[Tensor, "streams frames"]]:
    """Collect, for each code, the logits that predict it, and say which of them exist.

    The logits of step s predict step s + 1, so the code of frame t in stream k is predicted at step
    ``t + delay[k]``. Steps that the sequence lacks (it usually stops at ``frames``) give zeros and a false
    mask.
    """
    batch, streams, steps, cardinality = logits.shape
    aligned = logits.new_zeros((batch, streams, frames, cardinality))
    mask = torch.zeros((streams, frames), dtype=torch.bool, device=logits.device)
    for k, lag in enumerate(delays):
        there = max(0, min(frames, steps - lag))
        aligned[:, k, :there] = logits[:, k, lag : lag + there]
        # Only steps where every stream is defined count: the last delay[k] frames carry no loss.
        mask[k, : max(0, min(there, frames - lag))] = True
    return aligned, mask
