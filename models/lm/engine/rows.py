"""The engine's state: a KV cache and everything else that it keeps per row, in tensors whose shapes never change.

A sequence takes one row, or two if it is guided: the leader, which attends to the text, and the partner, which does
not. Both read the leader's tokens.
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
    """Sizes of a row of the cache.

    Args:
        layers: of the transformer.
        heads: of each layer.
        head_dim: numbers of a key or value per head.
        streams: token streams.
        steps: steps that fit.
        text_positions: positions of text that fit.
    """

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
    """All rows of an engine. R rows, L layers, H heads, S steps, T text positions, D head_dim, K streams.

    ============================ ================= ==================================================================
    tensor                       shape, type       meaning
    ============================ ================= ==================================================================
    ``keys``, ``values``         [L, R, H, S, D]   KV cache of the steps; filled before ``position``
    ``text_keys, text_values``   [L, R, H, T, D]   the text's keys and values; filled before ``text_length``
    ``tokens``                   [R, K, S] int64   the delayed sequence; only a leader's is used
    ``fixed``                    [R, K, S] bool    tokens that are given and not drawn
    ``position``                 [R] int64         the step that the row reads next
    ``text_length``              [R] int64         positions of text; 0 for a partner and for no text
    ``leader``                   [R] int64         the row whose tokens this row reads: its leader, or itself
    ``partner``                  [R] int64         a leader's row without text; itself where it has none
    ``exec_mask``                [R] bool          rows that the next step advances; see :func:`~.step.batch_step`
    ``noise_key``                [R] int64         key of the noise; see :func:`models.lm.sampling.noise_key`
    ``guidance``                 [R] float32       sampling parameters of a leader
    ``temperature``, ``top_p``   [R] float32       the same
    ``top_k``                    [R] int64         the same
    ``check_sum``                [R] float32       of a leader: finite as long as its caches and its logits are
    ============================ ================= ==================================================================

    What is cached and computed is added to ``check_sum`` on the device. Nothing waits for it until tokens are read.
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
        zeros = torch.zeros(count, dtype=torch.int64, device=device)
        self.position, self.text_length, self.noise_key, self.top_k = (zeros.clone() for _ in range(4))
        self.exec_mask = torch.zeros(count, dtype=torch.bool, device=device)
        self._executing: list[int] = []
        self.guidance, self.temperature = (torch.ones(count, device=device) for _ in range(2))
        self.top_p, self.check_sum = (torch.zeros(count, device=device) for _ in range(2))

    def admit(self, row_ids: tuple[int, ...], sampling: Sampling, text: list[tuple[Tensor, Tensor]]) -> None:
        """Set rows up for a new sequence.

        Args:
            row_ids: the leader, then the partner if there is one.
            sampling: sampling parameters.
            text: keys and values ``[heads, length, head_dim]`` of each layer; empty for no text.
        """
        leader = row_ids[0]
        for row in row_ids:
            self.leader[row], self.text_length[row] = leader, 0
        self.partner[leader] = row_ids[-1]
        self.guidance[leader], self.temperature[leader] = sampling.guidance, sampling.temperature
        self.top_k[leader], self.top_p[leader] = sampling.top_k, sampling.top_p
        self.check_sum[leader] = 0
        for layer, (keys, values) in enumerate(text):
            length = self.text_length[leader] = keys.shape[1]
            for cache, numbers in ((self.text_keys, keys), (self.text_values, values)):
                cached = cache[layer, leader, :, :length]
                cached[:] = numbers
                self.check_sum[leader] += cached.float().sum()

    def begin_window(
        self,
        row_ids: tuple[int, ...],
        tokens: Int[Tensor, "streams steps"],
        fixed: Bool[Tensor, "streams steps"],
        noise_key: int,
    ) -> None:
        """Load a delayed sequence into admitted rows, and go to its first step."""
        leader, steps = row_ids[0], tokens.shape[1]
        self.tokens[leader, :, :steps] = tokens.to(self.device)
        self.fixed[leader, :, :steps] = fixed.to(self.device)
        self.noise_key[leader] = noise_key
        self.position[list(row_ids)] = 0

    def is_finite(self, leader: int) -> bool:
        """Whether all numbers of a sequence have been finite."""
        return math.isfinite(self.check_sum[leader].item())

    def release(self, row_ids: tuple[int, ...]) -> None:
        """Free rows. In full-batch mode they keep computing at position 0; their output is discarded."""
        self.position[list(row_ids)] = 0
        if not self.is_finite(row_ids[0]):  # masked values are multiplied by 0, and 0 × infinity is NaN
            for cache in (self.keys, self.values, self.text_keys, self.text_values):
                cache[:, list(row_ids)] = 0

    def set_exec_mask(self, row_ids: list[int]) -> None:
        """Choose the rows that the next step advances."""
        if row_ids != self._executing:  # mostly they are the same, and nothing is sent to the device
            self._executing = list(row_ids)
            self.exec_mask.zero_()
            self.exec_mask[row_ids] = True

    def copy_prefix(self, source: tuple[int, ...], target: tuple[int, ...], steps: int) -> None:
        """Copy the KV cache of the first steps from some rows to others, and move those behind these steps."""
        for source_row, target_row in zip(source, target, strict=True):
            for cache in (self.keys, self.values):
                cache[:, target_row, :, :steps] = cache[:, source_row, :, :steps]
        self.finish_prefill(target, slice(0, steps))

    def finish_prefill(self, row_ids: tuple[int, ...], steps: slice) -> None:
        """Move rows behind steps that were cached, and check these.

        If a number of a layer is not finite, neither are those of the layers after it: the last one tells.
        """
        self.position[list(row_ids)] = steps.stop
        for cache in (self.keys, self.values):
            for row in row_ids:
                self.check_sum[row_ids[0]] += cache[-1, row, :, steps].float().sum()

    def draws(self, leaders: Int[Tensor, " leaders"], most_k: int, nucleus: bool) -> Draws:
        """How to draw the next tokens of some leaders; see :class:`~models.lm.sampling.Draws`."""
        return Draws(
            self.temperature[leaders],
            self.top_k[leaders],
            self.top_p[leaders],
            self.noise_key[leaders],
            most_k,
            nucleus,
        )
