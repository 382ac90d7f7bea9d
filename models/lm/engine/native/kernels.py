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
"""As in the C sources: inputs and outputs of a block of weights, and numbers per vector."""


class NativeMatrix(ctypes.Structure):
    """``Matrix`` of the C sources: an int8 matrix that :func:`in_blocks` has laid out."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("inputs", ctypes.c_long),
        ("padded", ctypes.c_long),
        ("outputs", ctypes.c_long),
    )

    @classmethod
    def of(cls, blocks: Int[Tensor, numbers], scales: Float[Tensor, " outputs"], inputs: int) -> NativeMatrix:
        """Point at tensors. They must live as long as this does, and must not move."""
        return cls(blocks.data_ptr(), scales.data_ptr(), inputs, blocks.numel() // len(scales), len(scales))


class RaggedRows(ctypes.Structure):
    """``RaggedRows`` of the C sources: which rows attend, and the cached length of each."""

    _fields_ = (
        ("row_ids", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("rows", ctypes.c_long),
        ("heads", ctypes.c_long),
        ("steps", ctypes.c_long),
        ("dim", ctypes.c_long),
        ("half", ctypes.c_long),
    )

    @classmethod
    def of(cls, row_ids: Int[Tensor, " rows"], lengths: Int[Tensor, " rows"], cache: Tensor) -> RaggedRows:
        """Rows of a cache ``[…, all_rows, heads, steps, dim]``. The tensors must live as long as this does."""
        heads, steps, dim = cache.shape[-3:]
        half = int(cache.dtype == torch.float16)
        return cls(row_ids.data_ptr(), lengths.data_ptr(), len(lengths), heads, steps, dim, half)


class NativeLayer(ctypes.Structure):
    """``Layer`` of the C sources: a layer's norms and matrices."""

    _fields_ = (
        *((f"{norm}_{part}", ctypes.c_void_p) for norm in ("self", "cross", "feed") for part in ("weight", "bias")),
        *((name, NativeMatrix) for name in ("qkv", "out", "text_query", "text_out", "expand", "contract")),
    )


class Scratch(ctypes.Structure):
    """``Scratch`` of the C sources: buffers for intermediate results."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("wide", "mixed", "q", "scales"))


class Kernels:
    """The compiled kernels as functions of tensors."""

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

    def product(self, matrix: NativeMatrix, x: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows outputs"]:
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
        row_ids: Int[Tensor, " rows"],
        lengths: Int[Tensor, " rows"],
    ) -> Float[Tensor, "rows heads_dim"]:
        """Attend from one query per row to its first ``lengths`` steps; the result is 0 where the length is 0."""
        rows, heads, dim = queries.shape
        _check_dense(keys, values)
        assert queries.stride()[1:] == (dim, 1)
        mixed = queries.new_empty((rows, heads * dim))
        pointers = (keys.data_ptr(), values.data_ptr(), mixed.data_ptr())
        filled = RaggedRows.of(row_ids, lengths, keys)
        threads = torch.get_num_threads()
        self._attention(ctypes.byref(filled), queries.data_ptr(), queries.stride(0), *pointers, threads)
        return mixed

    def layers(
        self,
        layers: ctypes.Array[NativeLayer],
        x: Float[Tensor, "rows dim"],
        caches: tuple[Tensor, Tensor, Tensor, Tensor],
        row_ids: Int[Tensor, " rows"],
        lengths: Int[Tensor, " rows"],
        text_lengths: Int[Tensor, " rows_with_text"],
    ) -> Float[Tensor, "rows dim"]:
        """Run one step of some rows through all layers.

        Args:
            layers: all layers.
            x: the embedded tokens.
            caches: keys, values, text keys and text values, ``[layers, all_rows, heads, steps, head_dim]``.
            row_ids: the rows, as indices into all rows; those with a text come first.
            lengths: steps of each row in the cache, including this one, which is added.
            text_lengths: positions of text of the rows that have a text.
        """
        _check_dense(*caches)
        x, rows = x.clone(), len(x)
        widest = max(max(layers[0].qkv.outputs, layers[0].expand.outputs), layers[0].contract.padded)
        wide, mixed, scales = x.new_empty((rows, widest)), torch.empty_like(x), x.new_empty(rows)
        narrow = x.new_empty((rows, widest), dtype=torch.int16)
        scratch = Scratch(wide.data_ptr(), mixed.data_ptr(), narrow.data_ptr(), scales.data_ptr())
        own = RaggedRows.of(row_ids, lengths, caches[0])
        text = RaggedRows.of(row_ids[: len(text_lengths)], text_lengths, caches[2])
        self._layers(
            ctypes.byref(layers),
            len(layers),
            ctypes.byref(own),
            ctypes.byref(text),
            caches[0].shape[1],
            x.data_ptr(),
            *(cache.data_ptr() for cache in caches),
            ctypes.byref(scratch),
            torch.get_num_threads(),
        )
        return x


def in_blocks(weight: Int[Tensor, "outputs inputs"]) -> Int[Tensor, numbers]:
    """Lay an int8 matrix out as the kernels read it: inputs padded, ``COLUMNS`` outputs interleaved."""
    outputs, inputs = weight.shape
    padded = F.pad(weight, (0, -inputs % STEP))
    return padded.view(outputs // COLUMNS, COLUMNS, -1, STEP).transpose(1, 2).contiguous().flatten()


@cache
def kernels() -> Kernels | None:
    """The kernels; None if this machine cannot compile or run them."""
    compiled = loaded()
    return None if compiled is None else Kernels(compiled)


def _check_dense(*tensors: Tensor) -> None:
    for tensor in tensors:
        assert tensor.is_contiguous()
        assert tensor.dtype in (torch.float32, torch.float16)
