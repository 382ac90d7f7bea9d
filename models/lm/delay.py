"""Codes to delayed sequences and back.

A grid of codes ``[streams, frames]`` becomes a sequence ``[streams, steps]``: stream k is shifted right by
``1 + delay[k]``, and the places without a code hold the special id. Step 0 is all special; there are
``frames + max(delay) + 1`` steps (as in the reference).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
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


def delay_mask(columns: Bool[Tensor, "batch frames"], delays: Sequence[int]) -> Bool[Tensor, "batch streams frames"]:
    """Where a delayed sequence predicts marked columns, among its first ``frames`` steps.

    Step s predicts step s + 1, so column t of stream k is predicted at step ``t + delay[k]``. The steps after
    ``frames`` are left out, and with them the last ``delay[k]`` columns of stream k, since not every stream is
    defined there.
    """
    frames = columns.shape[-1]
    return torch.stack([F.pad(columns, (lag, 0))[:, :frames] for lag in delays], dim=1)
