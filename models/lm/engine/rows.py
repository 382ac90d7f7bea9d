"""What the engine remembers of its requests, in tensors whose shapes never change.

A request takes one row, or two where it is guided: one that reads its text and one that does not. Both read the same
tokens, those of the first, its leader.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from models.lm.sampling import Draws, Sampling
from models.memory import huge_zeros


@dataclass(frozen=True)
class RowShape:
    """Sizes of a row: steps and text positions that fit, and what the model remembers of each."""

    layers: int
    heads: int
    head_dim: int
    streams: int
    steps: int
    text_positions: int

    def nbytes(self, dtype: torch.dtype) -> int:
        """Bytes of a row's keys and values."""
        return 2 * self.layers * self.heads * self.head_dim * (self.steps + self.text_positions) * dtype.itemsize


class Rows:
    """The rows of an engine.

    ``keys`` and ``values`` ``[layers, rows, heads, steps, head_dim]``; those of texts alike, ``text_length`` of them
    filled. ``tokens`` ``[rows, streams, steps]`` is each leader's delayed sequence, of which ``fixed`` tokens are
    known; ``position`` is the step to be read next. ``partner`` is the row without text, or the row itself.
    ``logit_sum`` is of a leader's logits so far: finite for as long as they are. Steps add to it on the device, and
    nothing waits for it but what reads tokens.
    """

    def __init__(self, count: int, shape: RowShape, dtype: torch.dtype, device: torch.device) -> None:
        self.count, self.shape, self.device = count, shape, device
        cache = (shape.layers, count, shape.heads, shape.steps, shape.head_dim)
        text = (shape.layers, count, shape.heads, shape.text_positions, shape.head_dim)
        self.keys, self.values = (huge_zeros(cache, dtype, device) for _ in range(2))
        self.text_keys, self.text_values = (huge_zeros(text, dtype, device) for _ in range(2))
        self.tokens = torch.zeros((count, shape.streams, shape.steps), dtype=torch.int64, device=device)
        self.fixed = torch.ones((count, shape.streams, shape.steps), dtype=torch.bool, device=device)
        every = torch.arange(count, device=device)
        self.leader, self.partner = every.clone(), every.clone()
        nothing = torch.zeros(count, dtype=torch.int64, device=device)
        self.position, self.text_length, self.key, self.top_k = (nothing.clone() for _ in range(4))
        self.moves = torch.zeros(count, dtype=torch.bool, device=device)
        self._moving: list[int] = []
        self.guidance, self.temperature = (torch.ones(count, device=device) for _ in range(2))
        self.top_p, self.logit_sum = (torch.zeros(count, device=device) for _ in range(2))

    def seat(self, rows: tuple[int, ...], sampling: Sampling, text: list[tuple[Tensor, Tensor]]) -> None:
        """Give rows, the leader first, to a request."""
        lead = rows[0]
        for row in rows:
            self.leader[row], self.text_length[row] = lead, 0
        self.partner[lead] = rows[-1]
        self.guidance[lead], self.temperature[lead] = sampling.guidance, sampling.temperature
        self.top_k[lead], self.top_p[lead] = sampling.top_k, sampling.top_p
        for layer, (keys, values) in enumerate(text):
            length = self.text_length[lead] = keys.shape[1]
            self.text_keys[layer, lead, :, :length] = keys
            self.text_values[layer, lead, :, :length] = values

    def write(
        self,
        rows: tuple[int, ...],
        tokens: Int[Tensor, "streams steps"],
        fixed: Bool[Tensor, "streams steps"],
        key: int,
    ) -> None:
        """Begin a sequence in seated rows."""
        lead, steps = rows[0], tokens.shape[1]
        self.tokens[lead, :, :steps] = tokens.to(self.device)
        self.fixed[lead, :, :steps] = fixed.to(self.device)
        self.key[lead] = key
        self.logit_sum[lead] = 0
        self.position[list(rows)] = 0

    def is_broken(self, lead: int) -> bool:
        """Whether some logits of a sequence were not finite."""
        return not math.isfinite(self.logit_sum[lead].item())

    def leave(self, rows: tuple[int, ...]) -> None:
        """Take rows from a request. Where steps are of all rows, they go on computing, at their first step."""
        self.position[list(rows)] = 0
        if self.is_broken(rows[0]):  # what is masked is multiplied by 0, which makes NaN of infinity
            for memory in (self.keys, self.values, self.text_keys, self.text_values):
                memory[:, list(rows)] = 0

    def move(self, rows: list[int]) -> None:
        """Say which rows the next step moves."""
        if rows != self._moving:  # mostly they are the same, and nothing has to go to the device
            self._moving = list(rows)
            self.moves.zero_()
            self.moves[rows] = True

    def copy(self, source: tuple[int, ...], target: tuple[int, ...], steps: int) -> None:
        """Let rows remember what others do of their first steps."""
        for one, other in zip(source, target, strict=True):
            for memory in (self.keys, self.values):
                memory[:, other, :, :steps] = memory[:, one, :, :steps]
        self.position[list(target)] = steps

    def draws(self, leads: Int[Tensor, " leads"], most_k: int, nucleus: bool) -> Draws:
        """How the next tokens of some leaders are drawn."""
        return Draws(self.temperature[leads], self.top_k[leads], self.top_p[leads], self.key[leads], most_k, nucleus)
