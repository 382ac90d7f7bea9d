"""What rows attend to: a chunk of one sequence's steps (prefill), or the next step of many sequences (decode)."""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.lm.engine.native import kernels as native
from models.lm.engine.rows import Rows


class ChunkAttention:
    """Prefill: consecutive steps of one sequence. The rows of x are all steps of its first row, then of its second.

    Args:
        rows: the engine's state.
        row_ids: the sequence's rows, the leader first.
        first: the first of the steps.
        count: number of steps.
        text_length: positions of the leader's text; 0 for no text.
    """

    def __init__(self, rows: Rows, row_ids: tuple[int, ...], first: int, count: int, text_length: int) -> None:
        self._rows, self._row_ids, self._first, self._count = rows, list(row_ids), first, count
        self._text_length = text_length
        self.rows_with_text = count if text_length else 0
        end = first + count
        self._mask = torch.ones((count, end), dtype=torch.bool, device=rows.device).tril(diagonal=first)

    def self_attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Cache the keys and values, and attend from each step to the steps up to it."""
        # [row_ids * count, heads, head_dim] -> [row_ids, heads, count, head_dim]
        q, k, v = (part.view(len(self._row_ids), self._count, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        end = self._first + self._count
        for index, row in enumerate(self._row_ids):
            keys[row, :, self._first : end] = k[index]
            values[row, :, self._first : end] = v[index]
        keys, values = (cache[self._row_ids, :, :end].to(q.dtype) for cache in (keys, values))
        mixed = F.scaled_dot_product_attention(q, keys, values, self._mask)
        # [row_ids, heads, count, head_dim] -> [row_ids, count, dim] -> [row_ids * count, dim]
        return mixed.transpose(1, 2).flatten(2).flatten(0, 1)

    def cross_attend(
        self, layer: int, q: Float[Tensor, "rows_with_text heads head_dim"]
    ) -> Float[Tensor, "rows_with_text dim"]:
        """Attend from the leader's steps to its text."""
        caches = (self._rows.text_keys, self._rows.text_values)
        # Each [heads, text_length, head_dim].
        keys, values = (cache[layer, self._row_ids[0], :, : self._text_length].to(q.dtype) for cache in caches)
        # [count, heads, head_dim] -> [heads, count, head_dim], and back to [count, dim]
        return F.scaled_dot_product_attention(q.transpose(0, 1), keys, values).transpose(0, 1).flatten(1)


class RaggedAttention:
    """Decode on a CPU: the next step of some rows, each over its own length and no further.

    Args:
        rows: the engine's state.
        row_ids: the rows of the step; those with a text come first.
        lengths: steps that each row has cached once this step is; 0 for a row that only keeps the batch's size.
        text_lengths: positions of text of the rows that have a text.
    """

    def __init__(self, rows: Rows, row_ids: list[int], lengths: list[int], text_lengths: list[int]) -> None:
        self._rows, self.rows_with_text = rows, len(text_lengths)
        self.index = torch.tensor(row_ids)
        self._lengths = torch.tensor(lengths)
        self._text_lengths = torch.tensor(text_lengths, dtype=torch.int64)
        self._position = rows.position[self.index]

    def forward(
        self, layers: ctypes.Array[native.NativeLayer], x: Float[Tensor, "rows dim"]
    ) -> Float[Tensor, "rows dim"]:
        """The step through all layers in one call of the compiled kernels. No length may be 0."""
        compiled, rows = native.kernels(), self._rows
        assert compiled is not None
        caches = (rows.keys, rows.values, rows.text_keys, rows.text_values)
        return compiled.layers(layers, x, caches, self.index, self._lengths, self._text_lengths)

    def self_attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Cache the keys and values, and attend from each row's step to its steps so far."""
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        keys[self.index, :, self._position] = k.to(keys.dtype)
        values[self.index, :, self._position] = v.to(values.dtype)
        return _attend_up_to_lengths(q, keys, values, self.index, self._lengths)

    def cross_attend(
        self, layer: int, q: Float[Tensor, "rows_with_text heads head_dim"]
    ) -> Float[Tensor, "rows_with_text dim"]:
        """Attend from each row with a text to its text."""
        keys, values = self._rows.text_keys[layer], self._rows.text_values[layer]
        return _attend_up_to_lengths(q, keys, values, self.index[: self.rows_with_text], self._text_lengths)


def _attend_up_to_lengths(
    q: Float[Tensor, "rows heads head_dim"],
    keys: Float[Tensor, "all_rows heads steps head_dim"],
    values: Float[Tensor, "all_rows heads steps head_dim"],
    row_ids: Int[Tensor, " rows"],
    lengths: Int[Tensor, " rows"],
) -> Float[Tensor, "rows dim"]:
    compiled = native.kernels()
    if compiled is not None and q.dtype == torch.float32 and q.shape[-1] % native.LANES == 0:
        return compiled.attention(q, keys, values, row_ids, lengths)
    mixed = torch.zeros_like(q)
    for index, (row, length) in enumerate(zip(row_ids.tolist(), lengths.tolist(), strict=True)):
        if length:
            cached = keys[row, :, :length].to(q.dtype), values[row, :, :length].to(q.dtype)
            # One query: [heads, head_dim] -> [heads, 1, head_dim], and back.
            mixed[index] = F.scaled_dot_product_attention(q[index, :, None], *cached)[:, 0]
    return mixed.flatten(1)


class MaskedAttention:
    """Decode on an accelerator: the next step of all rows in shapes that never change; unused places are masked.

    Args:
        rows: the engine's state.
        position: the step of each row.
    """

    def __init__(self, rows: Rows, position: Int[Tensor, " rows"]) -> None:
        self._rows, self._position, self.rows_with_text = rows, position, rows.count
        self._index = torch.arange(rows.count, device=rows.device)
        steps = torch.arange(rows.shape.steps, device=rows.device)
        # [rows, steps] -> [rows, 1, 1, steps]: the same for all heads and the one query.
        self._step_mask = (steps <= position[:, None])[:, None, None]
        # A mask without a True would give NaN: a row without text sees one position, and its result is zeroed.
        text_positions = torch.arange(rows.shape.text_positions, device=rows.device)
        self._text_mask = (text_positions < rows.text_length.clamp(min=1)[:, None])[:, None, None]
        self._has_text = (rows.text_length > 0)[:, None]

    def self_attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Cache the keys and values, and attend from each row's step to its steps so far."""
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        keys[self._index, :, self._position] = k
        values[self._index, :, self._position] = v
        # One query per row: [rows, heads, head_dim] -> [rows, heads, 1, head_dim] -> [rows, dim]
        return F.scaled_dot_product_attention(q[:, :, None], keys, values, self._step_mask).flatten(1)

    def cross_attend(self, layer: int, q: Float[Tensor, "rows heads head_dim"]) -> Float[Tensor, "rows dim"]:
        """Attend from each row's step to its text."""
        keys, values = self._rows.text_keys[layer], self._rows.text_values[layer]
        mixed = F.scaled_dot_product_attention(q[:, :, None], keys, values, self._text_mask).flatten(1)
        return mixed * self._has_text
