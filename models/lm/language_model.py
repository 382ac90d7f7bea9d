"""The language model as it is trained, saved and served: transformer, text conditioner, stem layout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from models.errors import StemsError
from models.files.model_files import check_weights, read_weights
from models.lm.engine.engine import Engine
from models.lm.engine.plan import EnginePlan, plan_engine
from models.lm.engine.weights import Precision
from models.lm.stored import naming_file, read_lm_config
from models.lm.text import TextConfig, build_conditioner
from models.lm.transformer import Condition, StemTransformer, TransformerSize
from models.stems import StemLayout

WEIGHTS = "model.safetensors"
CPU = torch.device("cpu")
MAX_SECONDS = 600.0
"""Default length limit of a song, in seconds."""


@dataclass(frozen=True)
class LMConfig:
    """Everything needed to rebuild a language model, except its weights.

    ``segment_frames`` is the longest sequence of frames in training (1,500 = 30 s in the paper).
    ``codecs`` are the digests of the codecs that made its training tokens, by stem.
    """

    layout: StemLayout
    cardinality: int
    dim: int
    heads: int
    layers: int
    segment_frames: int
    feed_forward_ratio: int = 4
    frame_rate: float = 50.0
    text: TextConfig = field(default_factory=TextConfig)
    codecs: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> TransformerSize:
        """Sizes of the transformer."""
        return TransformerSize(
            streams=self.layout.streams,
            cardinality=self.cardinality,
            dim=self.dim,
            heads=self.heads,
            layers=self.layers,
            text_dim=self.text.dim,
            feed_forward_ratio=self.feed_forward_ratio,
        )

    def plan(
        self,
        slots: int = 1,
        precision: Precision | None = None,
        device: torch.device = CPU,
        longest_seconds: float = MAX_SECONDS,
    ) -> EnginePlan:
        """The memory plan of an engine; see :func:`~models.lm.engine.plan.plan_engine`."""
        return plan_engine(
            self.size,
            self.layout.delays,
            self.segment_frames,
            self.text.positions,
            longest=round(longest_seconds * self.frame_rate),
            slots=slots,
            precision=precision,
            device=device,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for ``config.json``."""
        return asdict(self) | {"layout": self.layout.to_dict(), "text": self.text.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LMConfig:
        """The inverse of :meth:`to_dict`."""
        return cls(**data | {"layout": StemLayout.from_dict(data["layout"]), "text": TextConfig(**data["text"])})

    @classmethod
    def load(cls, directory: Path | str) -> LMConfig:
        """Read a saved language model's configuration; StemsError if a part of the model is missing."""
        for name in ("config.json", WEIGHTS):
            file = Path(directory) / name
            if not file.exists() and not file.is_symlink():
                raise StemsError(
                    f"'{directory}' is not a language model: it has no {name}.",
                    "Give the directory that `stems train lm` wrote.",
                    code="missing",
                    field="model",
                )
        settings = read_lm_config(directory)
        try:
            return cls.from_dict(settings)
        except StemsError as error:
            raise naming_file(directory, error) from error


class StemLM(nn.Module):
    """A transformer that knows its stems and reads prompts."""

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        self.config = config
        self.text = build_conditioner(config.text)
        self.transformer = StemTransformer(config.size)

    @property
    def layout(self) -> StemLayout:
        """The stems."""
        return self.config.layout

    @property
    def special(self) -> int:
        """The id for "no code here"."""
        return self.config.cardinality

    def conditions(self, prompts: Sequence[str]) -> list[Condition | None]:
        """One condition per prompt, each encoded alone so that it does not depend on the others; None for no text."""
        for prompt in prompts:
            if any("\ud800" <= sign <= "\udfff" for sign in prompt):
                raise StemsError("The prompt has characters that are not text.", "Use UTF-8.", field="prompt")
        return [self.text.encode([prompt]) if prompt.strip() else None for prompt in prompts]

    def engine(
        self, slots: int = 1, precision: Precision | None = None, longest_seconds: float = MAX_SECONDS
    ) -> Engine:
        """An engine for this model; StemsError if the memory does not suffice. See :meth:`LMConfig.plan`."""
        plan = self.config.plan(slots, precision, self.transformer.heads.weight.device, longest_seconds)
        return Engine(self.transformer, self.layout.delays, plan)

    def digest(self) -> str:
        """A short hash of configuration and weights, so that equal models have equal digests."""
        sha = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode())
        for name, tensor in sorted(self.state_dict().items()):
            sha.update(name.encode())
            sha.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return sha.hexdigest()[:12]

    def save(self, directory: Path) -> None:
        """Write ``config.json``, ``model.safetensors`` and a README."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "config.json").write_text(json.dumps(self.config.to_dict(), indent=2) + "\n", encoding="utf-8")
        save_file({k: v.contiguous() for k, v in self.state_dict().items()}, directory / WEIGHTS)
        (directory / "README.md").write_text(_readme(self), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path | str, device: str | torch.device = "cpu") -> StemLM:
        """Read a saved language model; StemsError if a part is missing or does not fit."""
        config = LMConfig.load(directory)
        weights = read_weights(Path(directory) / WEIGHTS, _shapes(config), "model")
        model = cls(config)
        model.load_state_dict(weights)
        return model.to(device).eval()

    @classmethod
    def check(cls, directory: Path | str) -> LMConfig:
        """Make the checks of :meth:`load` without the memory of the model; returns its configuration."""
        config = LMConfig.load(directory)
        check_weights(Path(directory) / WEIGHTS, _shapes(config), "model")
        return config


def _shapes(config: LMConfig) -> dict[str, torch.Size]:
    """Shapes of the weights of such a model."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in StemLM(config).state_dict().items()}


def _readme(model: StemLM) -> str:
    config = model.config
    parameters = sum(p.numel() for p in model.parameters())
    return (
        f"# Multi-stem language model\n\n"
        f"- Stems and codebooks: {config.layout} (delays {list(config.layout.delays)})\n"
        f"- {parameters:,} parameters: width {config.dim}, {config.heads} heads, {config.layers} layers, "
        f"{config.cardinality} codes per stream\n"
        f"- Trained on up to {config.segment_frames} frames at {config.frame_rate:g} Hz\n"
        f"- Text: {config.text.kind} {config.text.name}\n"
        f"- Digest: {model.digest()}\n"
    )
