"""The compiled kernels as functions of tensors."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.lm.engine.native.build import loaded

STEP, COLUMNS, LANES = 16, 4, 8
"""As in the sources: inputs and outputs of a block of weights, and values of a vector."""


class Matrix(ctypes.Structure):
    """A matrix of int8 that :func:`in_blocks` has laid out, as the kernels know it."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("inputs", ctypes.c_long),
        ("padded", ctypes.c_long),
        ("outputs", ctypes.c_long),
    )

    @classmethod
    def of(cls, blocks: Int[Tensor, numbers], scales: Float[Tensor, " outputs"], inputs: int) -> Matrix:
        """Point at tensors, which must stay where they are."""
        return cls(blocks.data_ptr(), scales.data_ptr(), inputs, blocks.numel() // len(scales), len(scales))


class Filled(ctypes.Structure):
    """Which rows attend, and how far each is filled."""

    _fields_ = (
        ("taken", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        ("rows", ctypes.c_long),
        ("heads", ctypes.c_long),
        ("steps", ctypes.c_long),
        ("dim", ctypes.c_long),
        ("half", ctypes.c_long),
    )

    @classmethod
    def of(cls, taken: Int[Tensor, " rows"], ends: Int[Tensor, " rows"], cache: Tensor) -> Filled:
        """Rows ``taken`` of a cache ``[…, all_rows, heads, steps, dim]``. The tensors must outlive it."""
        heads, steps, dim = cache.shape[-3:]
        half = int(cache.dtype == torch.float16)
        return cls(taken.data_ptr(), ends.data_ptr(), len(ends), heads, steps, dim, half)


class Layer(ctypes.Structure):
    """A layer's norms and matrices."""

    _fields_ = (
        *((f"{norm}_{part}", ctypes.c_void_p) for norm in ("self", "cross", "feed") for part in ("weight", "bias")),
        *((name, Matrix) for name in ("qkv", "out", "text_query", "text_out", "expand", "contract")),
    )


class Scratch(ctypes.Structure):
    """Room for what is computed in between."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("wide", "mixed", "q", "scales"))


class Kernels:
    """What was compiled."""

    def __init__(self, compiled: ctypes.CDLL) -> None:
        pointer, number, threads = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
        self._product, self._attention, self._layers = (
            compiled.int8_product,
            compiled.step_attention,
            compiled.layers_step,
        )
        self._product.argtypes = (*[pointer] * 5, number, threads)
        self._attention.argtypes = (*[pointer] * 2, number, *[pointer] * 3, threads)
        self._layers.argtypes = (pointer, number, *[pointer] * 2, number, *[pointer] * 6, threads)
        self._product.restype = self._attention.restype = self._layers.restype = None

    def product(self, matrix: Matrix, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
        """Multiply."""
        rows, x = len(x), x.contiguous()
        result, scales = x.new_empty((rows, matrix.outputs)), x.new_empty(rows)
        narrow = x.new_empty((rows, matrix.padded), dtype=torch.int16)
        pointers = (x.data_ptr(), result.data_ptr(), narrow.data_ptr(), scales.data_ptr())
        self._product(ctypes.byref(matrix), *pointers, rows, torch.get_num_threads())
        return result

    def attention(
        self,
        queries: Float[Tensor, "rows heads dim"],
        keys: Float[Tensor, "all_rows heads steps dim"],
        values: Float[Tensor, "all_rows heads steps dim"],
        taken: Int[Tensor, " rows"],
        ends: Int[Tensor, " rows"],
    ) -> Float[Tensor, "rows heads_dim"]:
        """Mix values of rows ``taken`` up to their ``ends``, for one query each; zeros where nothing is filled."""
        rows, heads, dim = queries.shape
        _check_dense(keys, values)
        assert queries.stride()[1:] == (dim, 1)
        mixed = queries.new_empty((rows, heads * dim))
        pointers = (keys.data_ptr(), values.data_ptr(), mixed.data_ptr())
        filled = Filled.of(taken, ends, keys)
        threads = torch.get_num_threads()
        self._attention(ctypes.byref(filled), queries.data_ptr(), queries.stride(0), *pointers, threads)
        return mixed

    def layers(
        self,
        layers: ctypes.Array[Layer],
        x: Float[Tensor, "rows dim"],
        caches: tuple[Tensor, Tensor, Tensor, Tensor],
        taken: Int[Tensor, " rows"],
        ends: Int[Tensor, " rows"],
        texts: Int[Tensor, " texted"],
    ) -> Float[Tensor, "rows dim"]:
        """One step of rows through all layers.

        Args:
            layers: all of them.
            x: the embedded step.
            caches: keys and values of the steps and of the texts, ``[layers, all_rows, heads, steps, head_dim]``.
            taken: which of all rows they are.
            ends: steps of each, this one included, which is remembered.
            texts: positions of the texts of the first rows.
        """
        _check_dense(*caches)
        x, rows = x.clone(), len(x)
        widest = max(max(layers[0].qkv.outputs, layers[0].expand.outputs), layers[0].contract.padded)
        wide, mixed, scales = x.new_empty((rows, widest)), torch.empty_like(x), x.new_empty(rows)
        narrow = x.new_empty((rows, widest), dtype=torch.int16)
        scratch = Scratch(wide.data_ptr(), mixed.data_ptr(), narrow.data_ptr(), scales.data_ptr())
        past, read = Filled.of(taken, ends, caches[0]), Filled.of(taken[: len(texts)], texts, caches[2])
        self._layers(
            ctypes.byref(layers),
            len(layers),
            ctypes.byref(past),
            ctypes.byref(read),
            caches[0].shape[1],
            x.data_ptr(),
            *(cache.data_ptr() for cache in caches),
            ctypes.byref(scratch),
            torch.get_num_threads(),
        )
        return x


def in_blocks(weight: Int[Tensor, "outputs inputs"]) -> Int[Tensor, numbers]:
    """Lay a matrix of int8 out as the kernels read it: inputs padded, ``COLUMNS`` outputs in turn."""
    outputs, inputs = weight.shape
    padded = F.pad(weight, (0, -inputs % STEP))
    return padded.view(outputs // COLUMNS, COLUMNS, -1, STEP).transpose(1, 2).contiguous().flatten()


@cache
def kernels() -> Kernels | None:
    """The kernels, if this machine can compile and run them."""
    compiled = loaded()
    return None if compiled is None else Kernels(compiled)


def _check_dense(*tensors: Tensor) -> None:
    for tensor in tensors:
        assert tensor.is_contiguous()
        assert tensor.dtype in (torch.float32, torch.float16)
