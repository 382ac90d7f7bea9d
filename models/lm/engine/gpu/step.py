"""A step of all rows, in eight kernels a layer where they are few."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.lm.engine.gpu.launch import Launch, power
from models.lm.engine.gpu.products import FEW_ROWS, Product, product
from models.lm.engine.network import DecodingNetwork, PackedLayer
from models.lm.engine.rows import Rows, RowShape


@dataclass(frozen=True)
class Reading:
    """How keys and values are read: steps of a program, how many of them at once, and its warps."""

    split: int
    block: int
    warps: int


FEW, MANY, TEXT = Reading(128, 128, 2), Reading(512, 64, 2), Reading(1, 16, 1)
"""Where there are few rows, each is shared by many programs; a text is read by one, whatever its length."""


class _Layer:
    def __init__(self, layer: PackedLayer, rows: int, launch: Launch) -> None:
        self.qkv = product(layer.qkv, layer.self_norm, rows, launch)
        self.out = product(layer.out, None, rows, launch)
        self.text_query = product(layer.text_query, layer.cross_norm, rows, launch)
        self.text_out = product(layer.text_out, None, rows, launch)
        self.expand = product(layer.expand, layer.feed_norm, rows, launch)
        self.contract = product(layer.contract, None, rows, launch)


class FusedStep:
    """One step of every row, in shapes that never change: what :func:`~models.lm.engine.step.step_of_all` does.

    Args:
        network: in float32 or bfloat16.
        rows: the engine's rows.
    """

    @staticmethod
    def fits(shape: RowShape) -> bool:
        """Whether the kernels can be compiled for it: a head's width has to be a power of two."""
        return shape.head_dim == power(shape.head_dim)

    def __init__(self, network: DecodingNetwork, rows: Rows) -> None:
        self._network, self._rows = network, rows
        self._launch = launch = Launch.on(rows.device)
        self._layers = [_Layer(layer, rows.count, launch) for layer in network.layers]
        self._heads: Product = product(network.heads, network.final_norm, rows.count, launch)
        self._reading = FEW if rows.count <= FEW_ROWS else MANY
        size, heads, splits = network.size, rows.shape.heads, -(-rows.shape.steps // self._reading.split)

        def room(*shape: int, dtype: torch.dtype = network.dtype) -> Tensor:
            return torch.zeros((rows.count, *shape), dtype=dtype, device=rows.device)

        self._x, self._mix, self._query = (room(size.dim) for _ in range(3))
        self._qkv, self._wide = room(3 * size.dim), room(size.feed_forward_ratio * size.dim)
        self._logits = room(size.streams * size.cardinality, dtype=torch.float32)
        self._parts = room(heads, splits, rows.shape.head_dim + 2, dtype=torch.float32)
        self._arrived = room(heads, dtype=torch.int32)

    def __call__(self) -> None:
        """One step."""
        x, rows = self._x, self._rows
        self._embed()
        for index, layer in enumerate(self._layers):
            layer.qkv(x, self._qkv)
            self._attend(self._qkv, rows.keys[index], rows.values[index], rows.position, self._reading)
            layer.out(self._mix, x, add=True)
            layer.text_query(x, self._query)
            self._attend(self._query, rows.text_keys[index], rows.text_values[index], rows.text_length, TEXT)
            layer.text_out(self._mix, x, add=True)
            layer.expand(x, self._wide, gelu=True)
            layer.contract(self._wide, x, add=True)
        self._heads(x, self._logits)
        self._draw()
        rows.position.add_(rows.moves)

    def _embed(self) -> None:
        rows, network, size = self._rows, self._network, self._network.size
        block = min(1024, power(size.dim))
        self._launch.kernels.embed[(rows.count, -(-size.dim // block))](
            rows.tokens, rows.leader, rows.position, network.embedding, network.positions, self._x,
            rows.shape.steps, size.cardinality + 1, size.dim,
            STREAMS=size.streams, BLOCK=block, num_warps=4, **self._launch.options,
        )  # fmt: skip

    def _attend(self, given: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, reading: Reading) -> None:
        count, heads, steps, head_dim = keys.shape
        append = reading is not TEXT
        split = reading.split if append else power(steps)
        splits = -(-steps // split)
        self._launch.kernels.attend[(count, heads, splits)](
            given, keys, values, lengths, self._mix, self._parts, self._arrived, 1 / math.sqrt(head_dim), steps,
            HEADS=heads, HEAD_DIM=head_dim, SPLIT=split, SPLITS=splits, ROOM=power(splits), BLOCK=reading.block,
            APPEND=append, num_warps=reading.warps, **self._launch.options,
        )  # fmt: skip

    def _draw(self) -> None:
        rows, size = self._rows, self._network.size
        self._launch.kernels.draw[(rows.count, size.streams)](
            self._logits, rows.tokens, rows.fixed, rows.moves, rows.leader, rows.partner, rows.position,
            rows.guidance, rows.temperature, rows.top_k, rows.top_p, rows.key, rows.logit_sum, rows.shape.steps,
            STREAMS=size.streams, CODES=size.cardinality, BLOCK=power(size.cardinality),
            num_warps=8, **self._launch.options,
        )  # fmt: skip
