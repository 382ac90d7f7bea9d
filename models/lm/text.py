"""Text conditioning: a frozen T5, or a small byte-level encoder that is trained too and needs no download."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from models.errors import StemsError
from models.files.model_files import check_all_came, check_finite, foreign
from models.lm.transformer import Condition, sinusoidal_positions
from models.quiet import quiet_transformers

_PAD = 256  # after the 256 byte values


@dataclass(frozen=True)
class TextConfig:
    """Which text encoder: ``bytes`` of width ``dim``, or ``t5`` by name or path (``dim`` is then T5's own)."""

    kind: Literal["bytes", "t5"] = "bytes"
    name: str = ""
    dim: int = 128
    max_length: int = 256

    @property
    def positions(self) -> int:
        """Number of states of the longest text."""
        return math.ceil(self.max_length / 4) if self.kind == "bytes" else self.max_length

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a configuration file."""
        return asdict(self)


class TextConditioner(nn.Module):
    """Prompts in, :class:`Condition` out. An empty prompt counts as no text."""

    dim: int

    def encode(self, prompts: Sequence[str]) -> Condition:
        """Encode a batch of prompts."""
        raise NotImplementedError


class ByteConditioner(TextConditioner):
    """UTF-8 bytes, two strided convolutions, one self-attention layer: one state per four bytes."""

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
            # Zeroed padding keeps a prompt's states independent of other prompts' lengths.
            there = there[:, ::2]
            x = F.gelu(convolution(x)) * there[:, None, :]
        x = x.transpose(1, 2)
        x = x + sinusoidal_positions(torch.arange(x.shape[1], device=x.device), self.dim).to(x.dtype)
        # A row of only padding would make attention divide by zero, so its first position stays visible.
        hidden = ~there
        hidden[:, 0] = False
        return Condition.of(self.norm(self.mixer(x, src_key_padding_mask=hidden)), there)


class T5Conditioner(TextConditioner):
    """The frozen encoder of a T5, by hub name or local directory (``t5-base`` in the paper).

    It is loaded for the first prompt, and never saved with the language model.
    """

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dim, self.max_length, self.name = config.dim, config.max_length, config.name
        # Outside the module tree: its weights do not belong to the language model.
        self._loaded: list[Any] = []
        self.register_buffer("_place", torch.zeros(()), persistent=False)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Condition:
        """Encode prompts as T5 does; tokens past ``max_length`` are left out."""
        tokenizer, encoder = self._load()
        device = self.get_buffer("_place").device
        batch = tokenizer(
            list(prompts), return_tensors="pt", padding=True, truncation=True, max_length=self.max_length
        ).to(device)
        said = torch.tensor([bool(prompt.strip()) for prompt in prompts], device=device)
        states = encoder.to(device)(**batch).last_hidden_state
        return Condition.of(states, batch["attention_mask"].bool() & said[:, None])

    def _load(self) -> tuple[Any, Any]:
        if not self._loaded:
            from transformers import AutoTokenizer, T5EncoderModel

            hint = "Put a T5 there or name its directory. Without a prompt the model needs no T5."
            what = f"The text encoder '{self.name}'"
            with foreign(what, "text_encoder", hint), quiet_transformers():
                tokenizer = AutoTokenizer.from_pretrained(self.name)
                encoder, loading = T5EncoderModel.from_pretrained(self.name, output_loading_info=True)
            check_all_came(loading, what, "text_encoder")
            check_finite(encoder.state_dict(), what, "text_encoder")
            encoder.eval().requires_grad_(False)
            if encoder.config.d_model != self.dim:
                raise StemsError(
                    f"The text encoder '{self.name}' is {encoder.config.d_model} wide; the model reads {self.dim}.",
                    "Name the T5 that the model was trained with.",
                    field="text_encoder",
                )
            self._loaded = [tokenizer, encoder]
        return self._loaded[0], self._loaded[1]


def t5_config(name: str) -> TextConfig:
    """The configuration of a T5, given by hub name or directory; reads its width."""
    from transformers import AutoConfig

    with foreign(f"The T5 '{name}'", "text_encoder", 'Give the hub name or the directory of a T5, or "bytes".'):
        return TextConfig(kind="t5", name=name, dim=AutoConfig.from_pretrained(name).d_model)


def build_conditioner(config: TextConfig) -> TextConditioner:
    """Build the conditioner of a configuration."""
    if config.kind == "t5":
        return T5Conditioner(config)
    return ByteConditioner(config)


def _byte_tokens(prompts: Sequence[str], max_length: int) -> Int[Tensor, "batch bytes"]:
    rows = [list(prompt.strip().encode()[:max_length]) for prompt in prompts]
    longest = max(1, *(len(row) for row in rows))
    return torch.tensor([row + [_PAD] * (longest - len(row)) for row in rows], dtype=torch.int64)
