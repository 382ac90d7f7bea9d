"""Products of a step on a GPU. With few rows they take as long as their weights are read, and are done here."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.lm.engine.gpu.launch import Launch
from models.lm.engine.network import PackedNorm
from models.lm.engine.weights import Matrix, Whole

FEW_ROWS = 4
"""Rows up to which the kernel here is faster than the library's."""

_CHUNK, _WIDE = 256, 2048
"""Inputs that a warp reads at once, and how many of them are many."""


@runtime_checkable
class Product(Protocol):
    """A matrix, after the norm that belongs to it."""

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply ``x [rows, inputs]`` into ``out [rows, outputs]``, or add to what is there."""


def product(matrix: Matrix, norm: PackedNorm | None, rows: int, launch: Launch) -> Product:
    """The faster way for so many rows."""
    assert isinstance(matrix, Whole)
    return Streamed(matrix.weight, norm, launch) if rows <= FEW_ROWS else Library(matrix.weight, norm)


class Streamed:
    """Norm, product and what comes after it in one kernel, which starts to read weights before it has its rows."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], norm: PackedNorm | None, launch: Launch) -> None:
        self._weight, self._norm, self._launch = weight, norm, launch
        self._along = self._offset = weight
        if norm is not None:
            self._along, self._offset = (weight.float() @ part.float() for part in norm.tensors)
        many = weight.shape[1] > _WIDE
        self._chunks = -(-weight.shape[1] // _CHUNK)
        self._block, self._early = (2, min(12, self._chunks)) if many else (4, min(6, self._chunks))

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply."""
        outputs, inputs = self._weight.shape
        norm = self._norm
        self._launch.kernels.product[(-(-outputs // self._block),)](
            x, self._weight, self._weight if norm is None else norm.weight, self._along, self._offset, out,
            0.0 if norm is None else norm.eps, outputs,
            INPUTS=inputs, ROWS=len(x), BLOCK=self._block, CHUNKS=self._chunks, EARLY=self._early,
            NORM=norm is not None, GELU=gelu, ADD=add, num_warps=1, **self._launch.options,
        )  # fmt: skip


class Library:
    """PyTorch's own."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], norm: PackedNorm | None) -> None:
        self._weight, self._norm = weight, norm

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply."""
        given = x if self._norm is None else self._norm(x)
        if add:
            torch.addmm(out, given, self._weight.T, out=out)
        elif gelu:
            out.copy_(F.gelu(F.linear(given, self._weight)))
        else:
            out.copy_(F.linear(given, self._weight))
