"""What rows attend to: a chunk of one request's steps, or the next step of many."""

from __future__ import annotations

import ctypes

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.lm.engine.native import kernels as native
from models.lm.engine.rows import Rows


class ChunkAttention:
    """Consecutive steps of one request, known beforehand: row after row, each with all of the steps.

    Args:
        rows: the engine's rows.
        taken: the request's, the one with a text (if any) first.
        first: the first of the steps.
        count: how many they are.
        texts: positions of the first row's text, 0 for none.
    """

    def __init__(self, rows: Rows, taken: tuple[int, ...], first: int, count: int, texts: int) -> None:
        self._rows, self._taken, self._first, self._count, self._texts = rows, list(taken), first, count, texts
        self.texted = count if texts else 0
        end = first + count
        self._mask = torch.ones((count, end), dtype=torch.bool, device=rows.device).tril(diagonal=first)

    def steps(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Remember the steps, and mix each with those before it."""
        q, k, v = (part.view(len(self._taken), self._count, *part.shape[1:]).transpose(1, 2) for part in (q, k, v))
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        end = self._first + self._count
        for index, row in enumerate(self._taken):
            keys[row, :, self._first : end] = k[index]
            values[row, :, self._first : end] = v[index]
        keys, values = (memory[self._taken, :, :end].to(q.dtype) for memory in (keys, values))
        mixed = F.scaled_dot_product_attention(q, keys, values, self._mask)
        return mixed.transpose(1, 2).flatten(2).flatten(0, 1)

    def text(self, layer: int, q: Float[Tensor, "texted heads head_dim"]) -> Float[Tensor, "texted dim"]:
        """Mix the text's values."""
        row, texts = self._taken[0], self._texts
        memories = (self._rows.text_keys, self._rows.text_values)
        keys, values = (memory[layer, row, :, :texts].to(q.dtype) for memory in memories)
        return F.scaled_dot_product_attention(q.transpose(0, 1), keys, values).transpose(0, 1).flatten(1)


class FilledAttention:
    """The next step of some rows, on a CPU: each over what it has filled, and no more.

    Args:
        rows: the engine's rows.
        taken: those of the step, rows with a text first.
        ends: steps that each has once this one is remembered; 0 for a row that only fills a place.
        texts: positions of text of the first rows.
    """

    def __init__(self, rows: Rows, taken: list[int], ends: list[int], texts: list[int]) -> None:
        self._rows, self.texted = rows, len(texts)
        self.index, self._ends, self._texts = (
            torch.tensor(taken),
            torch.tensor(ends),
            torch.tensor(texts, dtype=torch.int64),
        )
        self._at = rows.position[self.index]

    def through(self, layers: ctypes.Array[native.Layer], x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """The step through all layers at once, by the compiled kernels; every row must move."""
        compiled, rows = native.kernels(), self._rows
        assert compiled is not None
        caches = (rows.keys, rows.values, rows.text_keys, rows.text_values)
        return compiled.layers(layers, x, caches, self.index, self._ends, self._texts)

    def steps(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Remember the step, and mix it with those before it."""
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        keys[self.index, :, self._at] = k.to(keys.dtype)
        values[self.index, :, self._at] = v.to(values.dtype)
        return _each_over_its_own(q, keys, values, self.index, self._ends)

    def text(self, layer: int, q: Float[Tensor, "texted heads head_dim"]) -> Float[Tensor, "texted dim"]:
        """Mix the texts' values."""
        keys, values = self._rows.text_keys[layer], self._rows.text_values[layer]
        return _each_over_its_own(q, keys, values, self.index[: self.texted], self._texts)


def _each_over_its_own(q: Tensor, keys: Tensor, values: Tensor, taken: Tensor, ends: Tensor) -> Tensor:
    compiled = native.kernels()
    if compiled is not None and q.dtype == torch.float32 and q.shape[-1] % native.LANES == 0:
        return compiled.attention(q, keys, values, taken, ends)
    mixed = torch.zeros_like(q)
    for index, (row, end) in enumerate(zip(taken.tolist(), ends.tolist(), strict=True)):
        if end:
            there = keys[row, :, :end].to(q.dtype), values[row, :, :end].to(q.dtype)
            mixed[index] = F.scaled_dot_product_attention(q[index, :, None], *there)[:, 0]
    return mixed.flatten(1)


class MaskedAttention:
    """The next step of all rows, in shapes that never change: what is not filled is masked.

    Args:
        rows: the engine's rows.
        at: the step of each.
    """

    def __init__(self, rows: Rows, at: Int[Tensor, " rows"]) -> None:
        self._rows, self._at, self.texted = rows, at, rows.count
        self._index = torch.arange(rows.count, device=rows.device)
        steps = torch.arange(rows.shape.steps, device=rows.device)
        self._filled = (steps <= at[:, None])[:, None, None]
        # A row without text sees one position of it and takes nothing from there.
        positions = torch.arange(rows.shape.text_positions, device=rows.device)
        self._read = (positions < rows.text_length.clamp(min=1)[:, None])[:, None, None]
        self._has_text = (rows.text_length > 0)[:, None]

    def steps(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Remember the step, and mix it with those before it."""
        keys, values = self._rows.keys[layer], self._rows.values[layer]
        keys[self._index, :, self._at] = k
        values[self._index, :, self._at] = v
        return F.scaled_dot_product_attention(q[:, :, None], keys, values, self._filled).flatten(1)

    def text(self, layer: int, q: Float[Tensor, "rows heads head_dim"]) -> Float[Tensor, "rows dim"]:
        """Mix the texts' values."""
        keys, values = self._rows.text_keys[layer], self._rows.text_values[layer]
        mixed = F.scaled_dot_product_attention(q[:, :, None], keys, values, self._read).flatten(1)
        return mixed * self._has_text
