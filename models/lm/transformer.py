"""The multi-stream transformer: MusicGen's decoder over any number of streams, as in the reference.

Pre-norm layers of causal self-attention, cross-attention to text and a GELU feed-forward, no biases; the input
is the sum of one embedding per stream, the output one linear head per stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from models.errors import StemsError
from models.lm.attention import CrossAttention, SelfAttention


@dataclass(frozen=True)
class TransformerSize:
    """Sizes of the transformer. ``cardinality`` is the number of codes per stream, without the special id."""

    streams: int
    cardinality: int
    dim: int
    heads: int
    layers: int
    text_dim: int
    feed_forward_ratio: int = 4
    max_period: float = 10_000.0

    def __post_init__(self) -> None:
        if self.dim % self.heads or self.dim % 2:
            raise StemsError(
                f"A width of {self.dim} cannot be split over {self.heads} heads.",
                "Choose an even dim that is a multiple of heads.",
                field="dim",
            )


@dataclass(frozen=True)
class Condition:
    """Text states to attend to: the output of the text encoder, before the projection.

    ``valid`` marks real positions: the others are zeroed after the projection. ``attended`` marks the positions that
    attention sees; the reference includes the zeroed padding, which makes a prompt's music depend on its batch, so
    batches made here exclude it. A row without text attends to one zero.
    """

    states: Float[Tensor, "batch length text_dim"]
    valid: Bool[Tensor, "batch length"]
    attended: Bool[Tensor, "batch length"]

    @classmethod
    def of(cls, states: Float[Tensor, "batch length text_dim"], valid: Bool[Tensor, "batch length"]) -> Condition:
        """Attend to the valid positions, and to the first position of rows without valid ones."""
        attended = valid.clone()
        attended[:, 0] |= ~valid.any(dim=1)
        return cls(states, valid, attended)

    @classmethod
    def null(cls, batch: int, text_dim: int, device: torch.device | None = None) -> Condition:
        """The condition without text: the unconditional side of guidance."""
        none = torch.zeros((batch, 1), dtype=torch.bool, device=device)
        return cls.of(torch.zeros((batch, 1, text_dim), device=device), none)

    def padded(self, length: int) -> Condition:
        """The same condition, padded with unattended positions to a length."""
        extra = length - self.states.shape[1]
        return replace(
            self,
            states=F.pad(self.states, (0, 0, 0, extra)),
            valid=F.pad(self.valid, (0, extra)),
            attended=F.pad(self.attended, (0, extra)),
        )

    @classmethod
    def cat(cls, parts: list[Condition]) -> Condition:
        """Stack conditions of different lengths along the batch."""
        longest = max(part.states.shape[1] for part in parts)
        padded = [part.padded(longest) for part in parts]
        return cls(
            torch.cat([p.states for p in padded]),
            torch.cat([p.valid for p in padded]),
            torch.cat([p.attended for p in padded]),
        )


def sinusoidal_positions(
    positions: Int[Tensor, " steps"], dim: int, max_period: float = 10_000.0
) -> Float[Tensor, "steps dim"]:
    """Cosine half first, then sine; phase = position / max_period^(j / (dim/2 - 1))."""
    half = dim // 2
    exponent = torch.arange(half, device=positions.device, dtype=torch.float32) / max(half - 1, 1)
    phase = positions[:, None].float() / max_period**exponent
    return torch.cat([phase.cos(), phase.sin()], dim=-1)


class Norm(nn.LayerNorm):
    """Layer norm in the precision of its input, whatever the precision of its parameters."""

    def forward(self, x: Float[Tensor, "batch steps dim"]) -> Float[Tensor, "batch steps dim"]:
        """Normalise every step."""
        return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class TransformerLayer(nn.Module):
    """Self-attention, cross-attention, feed-forward; each on normalised input with a residual connection."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.self_norm = Norm(size.dim, eps=1e-5)
        self.self_attention = SelfAttention(size.dim, size.heads)
        self.cross_norm = Norm(size.dim, eps=1e-5)
        self.cross_attention = CrossAttention(size.dim, size.heads)
        self.feed_norm = Norm(size.dim, eps=1e-5)
        self.expand = nn.Linear(size.dim, size.feed_forward_ratio * size.dim, bias=False)
        self.contract = nn.Linear(size.feed_forward_ratio * size.dim, size.dim, bias=False)

    def forward(
        self, x: Float[Tensor, "batch steps dim"], text: Float[Tensor, "batch length dim"], text_mask: Tensor
    ) -> Float[Tensor, "batch steps dim"]:
        """Apply the layer to whole sequences with their text."""
        keys, values = self.cross_attention.keys_values(text)
        x = x + self.self_attention(self.self_norm(x))
        x = x + self.cross_attention(self.cross_norm(x), keys, values, text_mask)
        return x + self.contract(F.gelu(self.expand(self.feed_norm(x))))


class StemTransformer(nn.Module):
    """Tokens of all streams in, logits of all streams out."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.size = size
        self.recompute = False
        """Activation checkpointing: keep only the layers' inputs and recompute the rest for the gradient."""
        # One table and one matrix for all streams, stacked: stream k has the rows k * rows … (k + 1) * rows.
        self.embedding = nn.Embedding(size.streams * (size.cardinality + 1), size.dim)
        self.text_projection = nn.Linear(size.text_dim, size.dim)
        self.blocks = nn.ModuleList(TransformerLayer(size) for _ in range(size.layers))
        self.final_norm = Norm(size.dim, eps=1e-5)
        self.heads = nn.Linear(size.dim, size.streams * size.cardinality, bias=False)
        self.offsets: Tensor
        offsets = torch.arange(size.streams) * (size.cardinality + 1)
        self.register_buffer("offsets", offsets[:, None], persistent=False)
        self.reset_parameters()

    @property
    def layers(self) -> list[TransformerLayer]:
        """The layers, first to last."""
        return [layer for layer in self.blocks if isinstance(layer, TransformerLayer)]

    @property
    def special(self) -> int:
        """The id for "no code here": the cardinality itself."""
        return self.size.cardinality

    def reset_parameters(self) -> None:
        """Truncated normal (3 sigma), sigma = 1/sqrt(fan_in); linears of layer l divided by sqrt(2(l + 1))."""
        _truncated_normal(self.embedding.weight, self.size.dim, 1.0)
        for linear in (self.text_projection, self.heads):
            _truncated_normal(linear.weight, linear.in_features, 1.0)
        nn.init.zeros_(self.text_projection.bias)
        for index, layer in enumerate(self.layers):
            for part in layer.modules():
                if isinstance(part, nn.Linear):
                    _truncated_normal(part.weight, part.in_features, 1 / math.sqrt(2 * (index + 1)))

    def project_text(self, condition: Condition) -> tuple[Float[Tensor, "batch length dim"], Tensor]:
        """Project the text states, zero the padding, and build the attention mask."""
        text = self.text_projection(condition.states.to(self.text_projection.weight.dtype))
        return text * condition.valid[..., None], condition.attended[:, None, None, :]

    def forward(
        self, tokens: Int[Tensor, "batch streams steps"], condition: Condition
    ) -> Float[Tensor, "batch streams steps cardinality"]:
        """Logits of every step, each predicting the next step's tokens."""
        text, mask = self.project_text(condition)
        x = self.embed(tokens)
        for layer in self.layers:
            step = partial(checkpoint, layer, use_reentrant=False) if self.recompute else layer
            x = step(x, text, mask)
        return self.predict(x)

    def embed(self, tokens: Int[Tensor, "batch streams steps"]) -> Float[Tensor, "batch steps dim"]:
        """Sum of the streams' embeddings, plus positions."""
        x = self.embedding(tokens + self.offsets).sum(dim=1)
        positions = torch.arange(tokens.shape[-1], device=tokens.device)
        return x + sinusoidal_positions(positions, self.size.dim, self.size.max_period).to(x.dtype)

    def predict(self, x: Float[Tensor, "batch steps dim"]) -> Float[Tensor, "batch streams steps cardinality"]:
        """Final norm and the heads."""
        logits = self.heads(self.final_norm(x))
        return logits.view(*x.shape[:2], self.size.streams, self.size.cardinality).transpose(1, 2)


def _truncated_normal(weight: Tensor, fan_in: int, scale: float) -> None:
    sigma = scale / math.sqrt(fan_in)
    nn.init.trunc_normal_(weight, std=sigma, a=-3 * sigma, b=3 * sigma)
