"""Real models with random weights, small enough to build in a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from models.audio.files import Audio
from models.codec.codec import StemCodec, build_codec
from models.codec.quantizer import start_codebooks
from models.codec.size import CodecSize
from models.lm.language_model import LMConfig, StemLM
from models.lm.text import TextConfig
from models.separation import SeparatorSize, build_htdemucs, save_separator
from models.song.source import Source
from models.stems import StemLayout

LAYOUT = StemLayout.parse("bass:1,drums:1,other:2")
CODEC = CodecSize(filters=2, latent=8, cardinality=16, lstm_layers=1)
RATE = 32_000


def tiny_codec(codebooks: int, seed: int = 0) -> StemCodec:
    """A codec whose codebooks are spread over the latents of noise, so that its codes vary."""
    torch.manual_seed(seed)
    codec = build_codec(CODEC, codebooks).eval()
    with torch.no_grad():
        start_codebooks(codec.network.quantizer, codec.latent(torch.randn(4, 1, RATE)), seed)
    return codec


def tiny_separator(directory: Path, sources: tuple[str, ...] = ("drums", "bass", "other", "vocals")) -> Path:
    """A random Demucs of one second segments."""
    torch.manual_seed(0)
    size = SeparatorSize(
        sources=sources, segment=1.0, channels=8, depth=2, nfft=1024, transformer_layers=0, transformer_heads=1
    )
    save_separator(build_htdemucs(size), directory)
    return directory


def tiny_lm(layout: StemLayout = LAYOUT, segment_frames: int = 60) -> StemLM:
    """A random language model over the tiny codecs."""
    torch.manual_seed(0)
    config = LMConfig(
        layout=layout,
        cardinality=CODEC.cardinality,
        dim=32,
        heads=4,
        layers=2,
        segment_frames=segment_frames,
        text=TextConfig(kind="bytes", dim=16),
    )
    return StemLM(config).eval()


def tiny_assembly_directory(directory: Path, layout: StemLayout = LAYOUT, max_seconds: float = 20.0) -> Path:
    """A whole model: language model, codecs, separator."""
    tiny_lm(layout).save(directory / "lm")
    for index, stem in enumerate(layout.stems):
        tiny_codec(stem.codebooks, seed=index).save(directory / "codecs" / stem.name)
    tiny_separator(directory / "separator")
    (directory / "assembly.json").write_text(json.dumps({"format": 1, "max_seconds": max_seconds}))
    return directory


def noise(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0, level: float = 0.1) -> Audio:
    """Quiet noise."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((channels, round(seconds * rate))).astype(np.float32)
    return Audio(level * samples, rate)


def sources(sounds: Mapping[str, Audio]) -> dict[str, Source]:
    """Stems as an edit is given them, without codes."""
    return {name: Source(sound) for name, sound in sounds.items()}
