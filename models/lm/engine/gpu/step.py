"""A step of all rows; with few rows, in eight kernels per layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.lm.engine.gpu.launch import Launch, next_power_of_two
from models.lm.engine.gpu.products import FEW_ROWS, Product, product
from models.lm.engine.network import DecodingNetwork, PackedLayer
from models.lm.engine.rows import Rows, RowShape


@dataclass(frozen=True)
class Tiling:
    """How the attention kernel divides the KV cache.

    Args:
        split: steps that one program reads.
        block: steps that it reads at once.
        warps: warps per program.
    """

    split: int
    block: int
    warps: int


FEW, MANY, TEXT = Tiling(128, 128, 2), Tiling(512, 64, 2), Tiling(1, 16, 1)
"""Of few rows, each is divided among many programs. A text of any length is read by one; its split is not used."""


class _Layer:
    def __init__(self, layer: PackedLayer, rows: int, launch: Launch) -> None:
        self.qkv = product(layer.qkv, layer.self_norm, rows, launch)
        self.out = product(layer.out, None, rows, launch)
        self.text_query = product(layer.text_query, layer.cross_norm, rows, launch)
        self.text_out = product(layer.text_out, None, rows, launch)
        self.expand = product(layer.expand, layer.feed_norm, rows, launch)
        self.contract = product(layer.contract, None, rows, launch)


class FusedStep:
    """One step of every row, in shapes that never change: :func:`~models.lm.engine.step.batch_step` in few kernels.

    Args:
        network: in float32 or bfloat16.
        rows: the engine's state.
    """

    @staticmethod
    def fits(shape: RowShape) -> bool:
        """Whether the kernels can be compiled for a shape: a head's width must be a power of two."""
        return shape.head_dim == next_power_of_two(shape.head_dim)

    def __init__(self, network: DecodingNetwork, rows: Rows) -> None:
        self._network, self._rows = network, rows
        self._launch = launch = Launch.on(rows.device)
        self._layers = [_Layer(layer, rows.count, launch) for layer in network.layers]
        self._heads: Product = product(network.heads, network.final_norm, rows.count, launch)
        self._tiling = FEW if rows.count <= FEW_ROWS else MANY
        size, heads, splits = network.size, rows.shape.heads, -(-rows.shape.steps // self._tiling.split)

        def buffer(*shape: int, dtype: torch.dtype = network.dtype) -> Tensor:
            return torch.zeros((rows.count, *shape), dtype=dtype, device=rows.device)

        self._x, self._mix, self._query = (buffer(size.dim) for _ in range(3))
        self._qkv, self._wide = buffer(3 * size.dim), buffer(size.feed_forward_ratio * size.dim)
        self._logits = buffer(size.streams * size.cardinality, dtype=torch.float32)
        self._parts = buffer(heads, splits, rows.shape.head_dim + 2, dtype=torch.float32)
        self._arrived = buffer(heads, dtype=torch.int32)

    def __call__(self) -> None:
        """Run one step, in the five stages of :mod:`models.lm.engine.step`."""
        x, rows = self._x, self._rows
        self._embed()
        for index, layer in enumerate(self._layers):
            layer.qkv(x, self._qkv)
            self._attend(self._qkv, rows.keys[index], rows.values[index], rows.position, self._tiling)
            layer.out(self._mix, x, add=True)
            layer.text_query(x, self._query)
            self._attend(self._query, rows.text_keys[index], rows.text_values[index], rows.text_length, TEXT)
            layer.text_out(self._mix, x, add=True)
            layer.expand(x, self._wide, gelu=True)
            layer.contract(self._wide, x, add=True)
        self._heads(x, self._logits)
        self._draw()
        rows.position.add_(rows.exec_mask)

    def _embed(self) -> None:
        rows, network, size = self._rows, self._network, self._network.size
        block = min(1024, next_power_of_two(size.dim))
        self._launch.kernels.embed[(rows.count, -(-size.dim // block))](
            rows.tokens, rows.leader, rows.position, network.embedding, network.positions, self._x,
            rows.shape.steps, size.cardinality + 1, size.dim,
            STREAMS=size.streams, BLOCK=block, num_warps=4, **self._launch.options,
        )  # fmt: skip

    def _attend(self, projected: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, tiling: Tiling) -> None:
        count, heads, steps, head_dim = keys.shape
        append = tiling is not TEXT
        split = tiling.split if append else next_power_of_two(steps)
        splits = -(-steps // split)
        self._launch.kernels.attend[(count, heads, splits)](
            projected, keys, values, lengths, self._mix, self._parts, self._arrived, 1 / math.sqrt(head_dim), steps,
            HEADS=heads, HEAD_DIM=head_dim, SPLIT=split, SPLITS=splits,
            SPLITS_BLOCK=next_power_of_two(splits), BLOCK=tiling.block, APPEND=append,
            num_warps=tiling.warps, **self._launch.options,
        )  # fmt: skip

    def _draw(self) -> None:
        rows, size = self._rows, self._network.size
        self._launch.kernels.draw[(rows.count, size.streams)](
            self._logits, rows.tokens, rows.fixed, rows.exec_mask, rows.leader, rows.partner, rows.position,
            rows.guidance, rows.temperature, rows.top_k, rows.top_p, rows.noise_key, rows.check_sum, rows.shape.steps,
            STREAMS=size.streams, CODES=size.cardinality, BLOCK=next_power_of_two(size.cardinality),
            num_warps=8, **self._launch.options,
        )  # fmt: skip
