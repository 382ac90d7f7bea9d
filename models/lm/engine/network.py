"""The transformer as decoding runs it: the weights of a :class:`~models.lm.transformer.StemTransformer`, packed.

The mathematics is that of the training module, but every row is one step of one sequence. What a row attends to is
injected: see :class:`Attention`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from models.lm.engine.attention import RaggedAttention
from models.lm.engine.native import kernels as native
from models.lm.engine.weights import Int8Matrix, Matrix, Precision, pack, pack_side_by_side
from models.lm.transformer import Condition, Norm, StemTransformer, TransformerLayer, sinusoidal_positions


@runtime_checkable
class Attention(Protocol):
    """What rows attend to, layer by layer."""

    rows_with_text: int
    """How many rows, from the first on, have a text. Cross-attention adds nothing to the others."""

    def self_attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Float[Tensor, "rows dim"]:
        """Cache the keys and values, and attend from each row to its sequence so far.

        All three are ``[rows, heads, head_dim]``.
        """

    def cross_attend(
        self, layer: int, q: Float[Tensor, "rows_with_text heads head_dim"]
    ) -> Float[Tensor, "rows_with_text dim"]:
        """Attend from each row with a text to its text."""


@dataclass(frozen=True)
class PackedNorm:
    """A layer norm in the precision of the rows."""

    weight: Tensor
    bias: Tensor
    eps: float

    @classmethod
    def of(cls, norm: Norm, dtype: torch.dtype) -> PackedNorm:
        """Pack a norm of the training module."""
        return cls(norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps)

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """Weight and bias."""
        return self.weight, self.bias

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise every row."""
        return F.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)


class PackedLayer:
    """A layer's norms and matrices."""

    def __init__(self, layer: TransformerLayer, precision: Precision, dtype: torch.dtype) -> None:
        self.self_norm = PackedNorm.of(layer.self_norm, dtype)
        self.cross_norm = PackedNorm.of(layer.cross_norm, dtype)
        self.feed_norm = PackedNorm.of(layer.feed_norm, dtype)
        self.qkv = pack(layer.self_attention.qkv, precision)
        self.out = pack(layer.self_attention.out, precision)
        self.text_keys_values = pack(layer.cross_attention.kv, precision)
        self.text_query = pack(layer.cross_attention.query, precision)
        self.text_out = pack(layer.cross_attention.out, precision)
        self.expand = pack(layer.expand, precision)
        self.contract = pack(layer.contract, precision)

    def native(self) -> native.NativeLayer | None:
        """The layer for the compiled kernels, if they can multiply by all of its matrices."""
        norms = (self.self_norm, self.cross_norm, self.feed_norm)
        pointers = [part.data_ptr() for norm in norms for part in norm.tensors]
        matrices = [matrix.native for matrix in self.matrices if isinstance(matrix, Int8Matrix) and matrix.native]
        return native.NativeLayer(*pointers, *matrices) if len(matrices) == len(self.matrices) else None

    @property
    def matrices(self) -> list[Matrix]:
        """The matrices of a step, in the order of use."""
        return [self.qkv, self.out, self.text_query, self.text_out, self.expand, self.contract]


class DecodingNetwork:
    """Rows of tokens in, rows of logits out.

    Args:
        model: the transformer. Its embeddings, norms and text projection are used in place; its matrices are packed.
        precision: of the packed matrices.
        longest: steps of the longest sequence.
    """

    def __init__(self, model: StemTransformer, precision: Precision, longest: int) -> None:
        self.size, self.special, self.precision, self._model = model.size, model.special, precision, model
        self.dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        self.layers = [PackedLayer(layer, precision, self.dtype) for layer in model.layers]
        self.final_norm = PackedNorm.of(model.final_norm, self.dtype)
        self.heads = pack(model.heads, precision)
        pack_side_by_side(self._matrices)
        self._native = self._native_layers()
        self.device = model.heads.weight.device
        positions = torch.arange(longest, device=self.device)
        self.positions = sinusoidal_positions(positions, self.size.dim, self.size.max_period).to(self.dtype)
        self.embedding = model.embedding.weight.detach().to(self.dtype)

    @property
    def batch_invariant(self) -> bool:
        """Whether a row's results are the same to the bit for any number of rows in the step."""
        return self.precision == "int8"

    @property
    def nbytes(self) -> int:
        """Bytes of weights that a step reads."""
        return sum(matrix.nbytes for matrix in self._matrices)

    @property
    def _matrices(self) -> list[Matrix]:
        return [*(matrix for layer in self.layers for matrix in layer.matrices), self.heads]

    @torch.no_grad()
    def text(self, condition: Condition) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of one text for each layer, each ``[heads, length, head_dim]``.

        The list is empty if the text is all zeros, to which attention adds nothing.
        """
        if not condition.valid.any():
            return []
        text, attended = self._model.project_text(condition)
        text = text[0, attended[0, 0, 0]].to(self.dtype)  # [length, dim], without the padding
        # [length, 2 * dim] -> [length, keys or values, heads, head_dim]
        pairs = [layer.text_keys_values(text).view(len(text), 2, self.size.heads, -1) for layer in self.layers]
        return [(pair[:, 0].transpose(0, 1), pair[:, 1].transpose(0, 1)) for pair in pairs]

    def embed(
        self, tokens: Int[Tensor, "rows streams"], positions: Int[Tensor, " rows"]
    ) -> Float[Tensor, "rows dim"]:
        """Sum of the streams' embeddings and the position's."""
        return F.embedding(tokens + self._model.offsets[:, 0], self.embedding).sum(dim=1) + self.positions[positions]

    def forward(self, x: Float[Tensor, "rows dim"], attention: Attention) -> Float[Tensor, "rows dim"]:
        """Run all layers."""
        if self._native is not None and isinstance(attention, RaggedAttention):
            return attention.forward(self._native, x)
        heads, with_text = self.size.heads, attention.rows_with_text
        for index, layer in enumerate(self.layers):
            # [rows, 3 * dim] -> three of [rows, heads, head_dim]
            q, k, v = layer.qkv(layer.self_norm(x)).view(len(x), 3, heads, -1).unbind(dim=1)
            x = x + layer.out(attention.self_attend(index, q, k, v))
            if with_text:
                q = layer.text_query(layer.cross_norm(x[:with_text])).view(with_text, heads, -1)
                x[:with_text] += layer.text_out(attention.cross_attend(index, q))
            x = x + layer.contract(F.gelu(layer.expand(layer.feed_norm(x))))
        return x

    def _native_layers(self) -> ctypes.Array[native.NativeLayer] | None:
        """All layers in one array, if the compiled kernels can run a step through them."""
        layers = [native_layer for layer in self.layers if (native_layer := layer.native()) is not None]
        head_dim = self.size.dim // self.size.heads
        if native.kernels() is None or len(layers) < len(self.layers) or head_dim % native.LANES:
            return None
        return (native.NativeLayer * len(layers))(*layers)

    def logits(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows streams cardinality"]:
        """Logits of every stream's next token, in float32."""
        return self.heads(self.final_norm(x)).float().view(len(x), self.size.streams, self.size.cardinality)
