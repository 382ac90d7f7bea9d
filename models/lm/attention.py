"""The transformer's two attentions: to earlier steps, and to the text."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from models.lm.cpu_attention import causal_attention


class SelfAttention(nn.Module):
    """Causal self-attention with one fused projection."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch steps dim"]) -> Float[Tensor, "batch steps dim"]:
        """Attend from each step to the steps up to it."""
        batch, steps, dim = x.shape
        # [batch, steps, 3 * dim] -> [3, batch, heads, steps, head_dim]
        q, k, v = self.qkv(x).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if q.requires_grad and q.device.type == "cpu" and q.dtype == torch.bfloat16:
            mixed = causal_attention(q, k, v)
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        # [batch, heads, steps, head_dim] -> [batch, steps, dim]
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, dim))


class Projection(nn.Linear):
    """A linear layer without bias."""

    def matrix(self) -> Float[Tensor, "outputs inputs"]:
        """The matrix that it multiplies by."""
        return self.weight


class CrossAttention(nn.Module):
    """Attention to the projected text.

    Text is short. If it has fewer positions than a head has dimensions, the products are taken in another order:
    ``keys · query`` and ``values · out`` are matrices of the text alone, and steps are multiplied by those. The
    result is the same; for 20 positions and heads of 64, this saves two thirds of the work.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Projection(dim, dim, bias=False)
        self.kv = nn.Linear(dim, 2 * dim, bias=False)
        self.out = Projection(dim, dim, bias=False)

    def keys_values(self, text: Float[Tensor, "batch length dim"]) -> tuple[Tensor, Tensor]:
        """Keys and values ``[batch, heads, length, head_dim]``."""
        batch, length, _ = text.shape
        # [batch, length, 2 * dim] -> [2, batch, heads, length, head_dim]
        keys, values = self.kv(text).view(batch, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return keys, values

    def forward(
        self, x: Float[Tensor, "batch steps dim"], keys: Tensor, values: Tensor, mask: Tensor
    ) -> Float[Tensor, "batch steps dim"]:
        """Attend from each step to the text."""
        batch, steps, dim = x.shape
        if keys.shape[2] < keys.shape[3] < steps:
            return self._text_first(x, keys, values, mask)
        q = self.query(x).view(batch, steps, self.heads, -1).transpose(1, 2)  # [batch, heads, steps, head_dim]
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(batch, steps, dim))

    def _text_first(
        self, x: Float[Tensor, "batch steps dim"], keys: Tensor, values: Tensor, mask: Tensor
    ) -> Float[Tensor, "batch steps dim"]:
        batch, steps, dim = x.shape
        heads, length, head_dim = keys.shape[1:]
        # Keys times the query weights, and values times the output weights: both [batch, heads, length, dim].
        score_weights = (keys * head_dim**-0.5) @ self.query.matrix().view(heads, head_dim, dim)
        out_weights = values @ self.out.matrix().view(dim, heads, head_dim).permute(1, 2, 0)
        # [batch, steps, dim] @ [batch, dim, heads * length] -> [batch, steps, heads * length]
        scores = x @ score_weights.reshape(batch, heads * length, dim).transpose(1, 2)
        # The mask is [batch, 1, 1, length]: the same for all steps and heads.
        scores = scores.view(batch, steps, heads, length).masked_fill(~mask.transpose(1, 2), -math.inf)
        shares = scores.softmax(dim=-1).view(batch, steps, heads * length)
        return shares @ out_weights.reshape(batch, heads * length, dim).to(shares.dtype)  # [batch, steps, dim]
