"""Causal self-attention for training in bfloat16 on the CPU.

There, PyTorch's fused kernel takes longer than its matrix products alone. Here rows are processed in blocks, each
with the keys that it may see, so that nearly all of the work is batched products; the attention weights are kept for
the gradient, which takes a third more memory than the layer's other activations.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import BFloat16
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = 192
"""Rows per block: enough for a fast product, few enough to compute little beyond the diagonal."""


def causal_attention(
    q: BFloat16[Tensor, "batch heads steps dim"],
    k: BFloat16[Tensor, "batch heads steps dim"],
    v: BFloat16[Tensor, "batch heads steps dim"],
) -> BFloat16[Tensor, "batch heads steps dim"]:
    """The same as ``scaled_dot_product_attention(q, k, v, is_causal=True)``, with scores rounded to bfloat16."""
    mixed: Tensor = _CausalAttention.apply(q, k, v)
    return mixed


class _CausalAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = q * q.shape[-1] ** -0.5, k.contiguous(), v.contiguous()
        mixed, shares = torch.empty_like(v), []
        later = torch.full((ROWS, ROWS), -math.inf, dtype=q.dtype).triu(1)
        for start, stop in _blocks(q.shape[2]):
            scores = q[:, :, start:stop] @ k[:, :, :stop].transpose(2, 3)
            scores[..., start:] += later[: stop - start, : stop - start]
            shares.append(scores.softmax(dim=-1))
            torch.matmul(shares[-1], v[:, :, :stop], out=mixed[:, :, start:stop])
        ctx.save_for_backward(q, k, v, *shares)
        return mixed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, *shares = ctx.saved_tensors
        grad = grad.contiguous()
        # Sums over blocks are kept in float32.
        to_q, to_k, to_v = torch.empty_like(q), *(k.new_zeros(k.shape, dtype=torch.float32) for _ in range(2))
        for (start, stop), share in zip(_blocks(q.shape[2]), shares, strict=True):
            rows = grad[:, :, start:stop]
            to_v[:, :, :stop] += share.transpose(2, 3) @ rows
            to_share = rows @ v[:, :, :stop].transpose(2, 3)
            to_scores = torch._softmax_backward_data(to_share, share, -1, share.dtype)
            to_q[:, :, start:stop] = to_scores @ k[:, :, :stop]
            to_k[:, :, :stop] += to_scores.transpose(2, 3) @ q[:, :, start:stop]
        return to_q * q.shape[-1] ** -0.5, to_k.to(k.dtype), to_v.to(v.dtype)


def _blocks(steps: int) -> list[tuple[int, int]]:
    return [(start, min(start + ROWS, steps)) for start in range(0, steps, ROWS)]
