"""Matrix products of a step on a GPU. With few rows they are bounded by reading weights, and have a kernel here."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from models.lm.engine.gpu.launch import Launch
from models.lm.engine.network import PackedNorm
from models.lm.engine.weights import FloatMatrix, Matrix

FEW_ROWS = 4
"""Up to so many rows, the kernel here is faster than PyTorch's library."""

_CHUNK, _WIDE = 256, 2048
"""Inputs that a warp reads at once, and the number of inputs from which on a program has fewer outputs."""


@runtime_checkable
class Product(Protocol):
    """A product with a matrix, after the norm in front of it."""

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply ``x [rows, inputs]`` and store the result in ``out [rows, outputs]``.

        Args:
            x: the input.
            out: the output.
            gelu: apply GELU to the result.
            add: add the result to ``out``.
        """


def product(matrix: Matrix, norm: PackedNorm | None, rows: int, launch: Launch) -> Product:
    """The faster product for a number of rows."""
    assert isinstance(matrix, FloatMatrix)
    return FusedProduct(matrix.weight, norm, launch) if rows <= FEW_ROWS else LibraryProduct(matrix.weight, norm)


class FusedProduct:
    """Norm, product, GELU and addition in one kernel, which starts to read weights before its input is ready."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], norm: PackedNorm | None, launch: Launch) -> None:
        self._weight, self._norm, self._launch = weight, norm, launch
        self._scaled = self._offset = weight
        if norm is not None:
            self._scaled, self._offset = (weight.float() @ part.float() for part in norm.tensors)
        wide = weight.shape[1] > _WIDE
        self._chunks = -(-weight.shape[1] // _CHUNK)
        self._block, self._early = (2, min(12, self._chunks)) if wide else (4, min(6, self._chunks))

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply."""
        outputs, inputs = self._weight.shape
        norm = self._norm
        self._launch.kernels.product[(-(-outputs // self._block),)](
            x, self._weight, self._weight if norm is None else norm.weight, self._scaled, self._offset, out,
            0.0 if norm is None else norm.eps, outputs,
            INPUTS=inputs, ROWS=len(x), BLOCK=self._block, CHUNKS=self._chunks, EARLY=self._early,
            NORM=norm is not None, GELU=gelu, ADD=add, num_warps=1, **self._launch.options,
        )  # fmt: skip


class LibraryProduct:
    """The product of PyTorch's library."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], norm: PackedNorm | None) -> None:
        self._weight, self._norm = weight, norm

    def __call__(self, x: Tensor, out: Tensor, *, gelu: bool = False, add: bool = False) -> None:
        """Multiply."""
        x = x if self._norm is None else self._norm(x)
        if add:
            torch.addmm(out, x, self._weight.T, out=out)
        elif gelu:
            out.copy_(F.gelu(F.linear(x, self._weight)))
        else:
            out.copy_(F.linear(x, self._weight))
