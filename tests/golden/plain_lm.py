"""The language model written down a second time, as plainly as possible, for the golden vectors.

It shares no code with ``models/``: it reads the authors' released format directly, computes every step from the
beginning, keeps no cache, and knows one task at a time. Given the checkpoint and the inputs of the authors' reference
implementation, it gives the reference's logits and losses within 1e-4, and its greedy tokens exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

GUIDANCE = 3.0
_TEXT = "condition_provider.conditioners.description.output_proj"


@dataclass(frozen=True)
class PlainLM:
    """A released language model.

    Attributes:
        weights: as the release names them.
        config: the release's settings.
    """

    weights: dict[str, Tensor]
    config: dict[str, Any]

    @property
    def delays(self) -> list[int]:
        """Of each stream, in frames."""
        return list(self.config["codebooks_pattern"]["delay"]["delays"])

    @property
    def special(self) -> int:
        """The id of masked and absent tokens."""
        return int(self.config["transformer_lm"]["card"])

    def delayed(self, codes: Int[Tensor, "batch streams frames"]) -> Int[Tensor, "batch streams steps"]:
        """Shift each stream right by its delay and one step more; the special id fills what is empty."""
        frames = codes.shape[-1]
        sequence = codes.new_full((*codes.shape[:2], frames + max(self.delays) + 1), self.special)
        for stream, delay in enumerate(self.delays):
            sequence[:, stream, 1 + delay : 1 + delay + frames] = codes[:, stream]
        return sequence

    def text(
        self, states: Float[Tensor, "batch words text"], valid: Bool[Tensor, "batch words"]
    ) -> Float[Tensor, "batch words dim"]:
        """Project the text encoder's states; padding becomes zeros, which attention sees."""
        projected = F.linear(states, self.weights[f"{_TEXT}.weight"], self.weights[f"{_TEXT}.bias"])
        return projected * valid[..., None]

    def logits(
        self, tokens: Int[Tensor, "batch streams steps"], text: Float[Tensor, "batch words dim"]
    ) -> Float[Tensor, "batch streams steps cardinality"]:
        """The logits after each step; those of step s predict the tokens of step s + 1."""
        w, size = self.weights, self.config["transformer_lm"]
        x = torch.stack([w[f"emb.{k}.weight"][tokens[:, k]] for k in range(tokens.shape[1])]).sum(0)
        x = x + _positions(tokens.shape[-1], size["dim"])
        for layer in range(size["num_layers"]):
            root = f"transformer.layers.{layer}."
            seen = self._norm(x, root + "norm1")
            x = x + self._attention(seen, seen, root + "self_attn", causal=True)
            x = x + self._attention(self._norm(x, root + "norm_cross"), text, root + "cross_attention", causal=False)
            wide = F.gelu(F.linear(self._norm(x, root + "norm2"), w[root + "linear1.weight"]))
            x = x + F.linear(wide, w[root + "linear2.weight"])
        x = self._norm(x, "out_norm")
        return torch.stack([F.linear(x, w[f"linears.{k}.weight"]) for k in range(tokens.shape[1])], dim=1)

    def _norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _attention(self, x: Tensor, seen: Tensor, name: str, *, causal: bool) -> Tensor:
        heads = self.config["transformer_lm"]["num_heads"]
        query, key, value = self.weights[f"{name}.in_proj_weight"].chunk(3)

        def split(inputs: Tensor, weight: Tensor) -> Tensor:
            return (
                F.linear(inputs, weight).unflatten(-1, (heads, -1)).transpose(1, 2)
            )  # batch, head, step, head's dim

        q, k, v = split(x, query), split(seen, key), split(seen, value)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        return F.linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), self.weights[f"{name}.out_proj.weight"])

    def aligned_logits(
        self, codes: Int[Tensor, "batch streams frames"], text: Float[Tensor, "batch words dim"]
    ) -> tuple[Float[Tensor, "batch streams frames cardinality"], Bool[Tensor, "streams frames"]]:
        """The logits that predict each code, and which of them count: a stream's last ``delay`` frames do not."""
        frames = codes.shape[-1]
        logits = self.logits(self.delayed(codes)[..., :frames], text)
        aligned, counts = torch.zeros_like(logits), torch.zeros(codes.shape[1:], dtype=torch.bool)
        for stream, delay in enumerate(self.delays):
            aligned[:, stream, : frames - delay] = logits[:, stream, delay:]
            counts[stream, : frames - delay] = True
        return aligned, counts

    def loss(
        self, codes: Int[Tensor, "batch streams frames"], text: Float[Tensor, "batch words dim"], begin: int
    ) -> Float[Tensor, " streams"]:
        """The cross-entropy of each stream from frame ``begin`` on; training takes their mean."""
        logits, counts = self.aligned_logits(codes, text)
        counts[:, :begin] = False
        return torch.stack(
            [F.cross_entropy(logits[:, k, seen].flatten(0, 1), codes[:, k, seen].flatten()) for k, seen in
             enumerate(counts)]
        )  # fmt: skip

    def greedy(
        self,
        codes: Int[Tensor, "batch streams frames"],
        known: Bool[Tensor, "batch streams frames"],
        text: Float[Tensor, "batch words dim"],
    ) -> tuple[Int[Tensor, "batch streams frames"], float]:
        """Write the most probable token wherever ``known`` is false.

        Returns:
            All codes, and by how much the closest choice was made (in logits).
        """
        codes, closest = codes.clone(), math.inf
        texts = torch.cat([text, torch.zeros_like(text)])
        for step in range(1, codes.shape[-1] + max(self.delays) + 1):
            tokens = self.delayed(codes)[..., :step]
            with_text, without = self.logits(tokens.repeat(2, 1, 1), texts)[:, :, -1].chunk(2)
            best = (without + GUIDANCE * (with_text - without)).topk(2)
            for stream, delay in enumerate(self.delays):
                frame = step - 1 - delay
                if not 0 <= frame < codes.shape[-1]:
                    continue
                free = ~known[:, stream, frame]
                codes[free, stream, frame] = best.indices[free, stream, 0]
                for high, low in best.values[free, stream].tolist():
                    closest = min(closest, high - low)
        return codes, closest


def _positions(steps: int, dim: int) -> Float[Tensor, "steps dim"]:
    half = dim // 2
    phase = torch.arange(steps)[:, None] / 10_000 ** (torch.arange(half) / (half - 1))
    return torch.cat([phase.cos(), phase.sin()], dim=-1)
