"""Text conditioning: a frozen T5, or a small byte-level encoder that is trained along and needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from models.errors import StemsError
from models.lm.transformer import Condition, sinusoidal_positions

_PAD = 256  # after the 256 byte values


@dataclass(frozen=True)
class TextConfig:
    """Which text encoder: ``bytes`` of width ``dim``, or ``t5`` by name or path (``dim`` is then T5's own)."""

    kind: Literal["bytes", "t5"] = "bytes"
    name: str = ""
    dim: int = 128
    max_length: int = 256

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a configuration file."""
        return asdict(self)


class TextConditioner(nn.Module):
    """Prompts in, :class:`Condition` out. An empty prompt is no text at all."""

    dim: int

    def encode(self, prompts: Sequence[str]) -> Condition:
        """Encode a batch of prompts."""
        raise NotImplementedError


class ByteConditioner(TextConditioner):
    """UTF-8 bytes, two strided convolutions, one self-attention layer: one state for every four bytes."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dim, self.max_length = config.dim, config.max_length
        self.embedding = nn.Embedding(_PAD + 1, config.dim, padding_idx=_PAD)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.dim, config.dim, kernel_size=5, stride=2, padding=2) for _ in range(2)
        )
        self.mixer = nn.TransformerEncoderLayer(
            config.dim, nhead=4, dim_feedforward=2 * config.dim, dropout=0.0, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(config.dim)

    def encode(self, prompts: Sequence[str]) -> Condition:
        """Encode prompts; bytes past ``max_length`` are left out."""
        tokens = _byte_tokens(prompts, self.max_length).to(self.embedding.weight.device)
        there = tokens != _PAD
        x = self.embedding(tokens).transpose(1, 2)
        for convolution in self.convolutions:
            # Zeroed padding keeps a prompt's states independent of its neighbours' lengths.
            there = there[:, ::2]
            x = F.gelu(convolution(x)) * there[:, None, :]
        x = x.transpose(1, 2)
        x = x + sinusoidal_positions(torch.arange(x.shape[1], device=x.device), self.dim).to(x.dtype)
        # A row of nothing but padding would make attention divide by zero: its first place may be seen.
        hidden = ~there
        hidden[:, 0] = False
        return Condition.of(self.norm(self.mixer(x, src_key_padding_mask=hidden)), there)


class T5Conditioner(TextConditioner):
    """The frozen encoder of a T5, by hub name or local directory (``t5-base`` in the paper)."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        from transformers import AutoTokenizer, T5EncoderModel

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(config.name)
            encoder = T5EncoderModel.from_pretrained(config.name)
        except (OSError, ValueError) as error:
            raise StemsError(
                f"The text encoder '{config.name}' cannot be loaded ({str(error).splitlines()[0]}).",
                "Give a T5 by hub name or local directory, or train with --text.kind bytes.",
                field="text.name",
            ) from error
        self.dim, self.max_length = encoder.config.d_model, config.max_length
        # Frozen and never saved with the language model: kept out of its parameters.
        self._encoder = [encoder.eval().requires_grad_(False)]

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """Encode prompts as T5 does; tokens past ``max_length`` are left out."""
        [encoder] = self._encoder
        batch = self.tokenizer(
            list(prompts), return_tensors="pt", padding=True, truncation=True, max_length=self.max_length
        ).to(encoder.device)
        said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=encoder.device)
        valid = batch["attention_mask"].bool()
        states = encoder(**batch).last_hidden_state
        return Condition.of(states, valid & said[:, None])

    def _apply(self, fn: Any, recurse: bool = True) -> T5Conditioner:
        # Follows the model to another device, though it is not one of its submodules.
        self._encoder[0]._apply(fn)
        return super()._apply(fn, recurse)


def build_conditioner(config: TextConfig) -> TextConditioner:
    """The conditioner that a configuration names."""
    if config.kind == "t5":
        return T5Conditioner(config)
    return ByteConditioner(config)


def _byte_tokens(prompts: Sequence[str], max_length: int) -> Int[Tensor, "batch bytes"]:
    rows = [list(prompt.strip().encode()[:max_length]) for prompt in prompts]
    longest = max(1, *(len(row) for row in rows))
    return torch.tensor([row + [_PAD] * (longest - len(row)) for row in rows], dtype=torch.int64)
