"""Codes to delayed sequences and back.

A grid of codes ``[streams, frames]`` becomes a sequence ``[streams, steps]``: stream k is shifted right by
``1 + delay[k]``, and every place that no code lands on holds the special id. Step 0 is all special; there
are ``frames + max(delay) + 1`` steps (FACTS §2).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def delay_codes(
    codes: Int[Tensor, "batch streams frames"], delays: Sequence[int], special: int
) -> Int[Tensor, "batch streams steps"]:
    """Shift each stream right by one plus its delay, filling with the special id."""
    batch, streams, frames = codes.shape
    sequence = codes.new_full((batch, streams, frames + max(delays) + 1), special)
    for k, lag in enumerate(delays):
        sequence[:, k, 1 + lag : 1 + lag + frames] = codes[:, k]
    return sequence


def undelay_codes(
    sequence: Int[Tensor, "batch streams steps"], delays: Sequence[int]
) -> Int[Tensor, "batch streams frames"]:
    """Invert :func:`delay_codes`."""
    frames = sequence.shape[-1] - max(delays) - 1
    return torch.stack([sequence[:, k, 1 + lag : 1 + lag + frames] for k, lag in enumerate(delays)], dim=1)


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
