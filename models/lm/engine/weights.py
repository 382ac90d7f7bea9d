"""Matrices in the precision that decoding reads them in. At few rows a step is as fast as its weights are read."""

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
"""Bytes of a weight."""


@runtime_checkable
class Matrix(Protocol):
    """A linear layer without bias, ready to decode."""

    def __call__(self, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """Multiply."""

    @property
    def nbytes(self) -> int:
        """Bytes that one multiplication reads."""


class Whole:
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


class Int8:
    """A matrix of whole numbers from -127 to 127 with one scale an output.

    What it multiplies is rounded: to int16 with a scale a row where the kernels are compiled, else to bfloat16. Each
    row of the result is computed alone, in one order, so its bits do not depend on how many rows there are.
    """

    def __init__(self, weight: Float[Tensor, "outputs inputs"]) -> None:
        weight = weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12)
        numbers = (weight / scales[:, None]).round().to(torch.int8)
        self._kernels = kernels() if len(weight) % COLUMNS == 0 and not weight.is_cuda else None
        self.native: native.Matrix | None = None
        if self._kernels is not None:
            self.weight, self.scales = in_blocks(numbers), scales
            self.native = native.Matrix.of(self.weight, self.scales, weight.shape[1])
        else:
            self.weight, self.scales = numbers.contiguous(), scales.bfloat16()

    def move(self, room: Int[Tensor, ...]) -> None:
        """Keep the numbers in another place from now on."""
        self.weight = room.view(self.weight.shape).copy_(self.weight)
        if self.native is not None:
            self.native = native.Matrix.of(self.weight, self.scales, self.native.inputs)

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
    """A linear layer's matrix in a precision."""
    if precision == "int8":
        return Int8(linear.weight)
    return Whole(linear.weight, torch.float32 if precision == "float32" else torch.bfloat16)


def side_by_side(matrices: Sequence[Matrix]) -> None:
    """Put the numbers of all int8 matrices into one piece of memory, in the order in which they are read."""
    packed = [matrix for matrix in matrices if isinstance(matrix, Int8)]
    if packed:
        sizes = [matrix.weight.numel() for matrix in packed]
        room = huge_zeros((sum(sizes),), torch.int8, packed[0].weight.device)
        for matrix, place in zip(packed, room.split(sizes), strict=True):
            matrix.move(place)


def best_precision(device: torch.device, dim: int) -> Precision:
    """The fastest sound precision: bfloat16 on accelerators; on CPUs int8, once weights outgrow the caches."""
    if device.type != "cpu":
        return "bfloat16"
    return "int8" if dim >= 512 else "float32"
