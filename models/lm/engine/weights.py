"""Matrices in the precision of decoding. With few rows, a step takes as long as reading its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from models.lm.engine.native import kernels as native
from models.lm.engine.native.kernels import COLUMNS, in_blocks, kernels
from models.memory import huge_zeros

Precision = Literal["float32", "bfloat16", "int8"]

BYTES: dict[Precision, int] = {"float32": 4, "bfloat16": 2, "int8": 1}
"""Bytes per weight."""


@runtime_checkable
class Matrix(Protocol):
    """A linear layer without bias, ready to decode."""

    def __call__(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """Multiply."""

    @property
    def nbytes(self) -> int:
        """Bytes that one multiplication reads."""


class FloatMatrix:
    """A matrix in float32 or bfloat16."""

    def __init__(self, weight: Float[Tensor, "outputs inputs"], dtype: torch.dtype) -> None:
        self.weight = weight.detach().to(dtype).contiguous()

    def __call__(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """Multiply."""
        return F.linear(x, self.weight)

    @property
    def nbytes(self) -> int:
        """Bytes that one multiplication reads."""
        return self.weight.nbytes


class Int8Matrix:
    """A matrix of integers from -127 to 127 with one scale per output.

    The input is rounded: to int16 with one scale per row if the compiled kernels multiply, else to bfloat16. Each row
    of the result is computed alone and in one order, so its bits do not depend on the number of rows.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"]) -> None:
        weight = weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
        integers = (weight / scales[:, None]).round().to(torch.int8)
        self._kernels = kernels() if len(weight) % COLUMNS == 0 and not weight.is_cuda else None
        self.native: native.NativeMatrix | None = None
        if self._kernels is not None:
            self.weight, self.scales = in_blocks(integers), scales
            self.native = native.NativeMatrix.of(self.weight, self.scales, weight.shape[1])
        else:
            self.weight, self.scales = integers.contiguous(), scales.bfloat16()

    def move_to(self, buffer: Int[Tensor, ...]) -> None:
        """Move the integers into another piece of memory."""
        self.weight = buffer.view(self.weight.shape).copy_(self.weight)
        if self.native is not None:
            self.native = native.NativeMatrix.of(self.weight, self.scales, self.native.inputs)

    def __call__(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """Multiply."""
        if self._kernels is not None and self.native is not None:
            return self._kernels.product(self.native, x)
        return torch.ops.aten._weight_int8pack_mm(x.bfloat16().contiguous(), self.weight, self.scales).float()

    @property
    def nbytes(self) -> int:
        """Bytes that one multiplication reads."""
        return self.weight.nbytes + self.scales.nbytes


def pack(linear: nn.Linear, precision: Precision) -> Matrix:
    """Pack a linear layer's matrix."""
    if precision == "int8":
        return Int8Matrix(linear.weight)
    return FloatMatrix(linear.weight, torch.float32 if precision == "float32" else torch.bfloat16)


def pack_side_by_side(matrices: Sequence[Matrix]) -> None:
    """Move the integers of all int8 matrices into one piece of memory, in the order in which a step reads them."""
    packed = [matrix for matrix in matrices if isinstance(matrix, Int8Matrix)]
    if packed:
        sizes = [matrix.weight.numel() for matrix in packed]
        memory = huge_zeros((sum(sizes),), torch.int8, packed[0].weight.device)
        for matrix, buffer in zip(packed, memory.split(sizes), strict=True):
            matrix.move_to(buffer)


def best_precision(device: torch.device, dim: int) -> Precision:
    """The fastest sound precision: bfloat16 on accelerators; on CPUs int8, once the weights outgrow the caches."""
    if device.type != "cpu":
        return "bfloat16"
    return "int8" if dim >= 512 else "float32"
