"""Named sizes; every number with its source."""

from __future__ import annotations

from dataclasses import dataclass

from models.codec.discriminator import DiscriminatorSize
from models.codec.size import CodecSize
from models.lm.text import TextConfig
from models.separation.network import SeparatorSize

# ---------------------------------------------------------------- language model


@dataclass(frozen=True)
class LMSize:
    """Sizes of a language model and the length of its training segments.

    ``segment_seconds`` is 30 s in the paper: 1,500 frames at 50 Hz.
    """

    dim: int
    heads: int
    layers: int
    segment_seconds: float
    text: TextConfig


T5_BASE = TextConfig(kind="t5", name="t5-base", dim=768)

LM_SIZES: dict[str, LMSize] = {
    # For a demo on two CPU cores; learns the rendered band in about a minute and a half.
    "tiny": LMSize(dim=128, heads=4, layers=4, segment_seconds=10.0, text=TextConfig(kind="bytes", dim=64)),
    # MusicGen's three sizes; the paper's model is "medium" (paper §III; Copet et al., 2023).
    "small": LMSize(dim=1024, heads=16, layers=24, segment_seconds=30.0, text=T5_BASE),
    "medium": LMSize(dim=1536, heads=24, layers=48, segment_seconds=30.0, text=T5_BASE),
    "large": LMSize(dim=2048, heads=32, layers=48, segment_seconds=30.0, text=T5_BASE),
}

# ---------------------------------------------------------------- stem codecs

CODEC_SIZES: dict[str, CodecSize] = {
    # For a demo on two CPU cores. Few codes: what a small language model can learn to predict in minutes.
    "tiny": CodecSize(filters=8, latent=32, cardinality=64, lstm_layers=1, ratios=(4, 4, 5, 8)),
    # EnCodec at 32 kHz as MusicGen uses it.
    "paper": CodecSize(filters=64, latent=128, cardinality=2048, lstm_layers=2, ratios=(8, 5, 4, 4)),
}

# Discriminators that train the codec of the same name.
DISCRIMINATOR_SIZES: dict[str, DiscriminatorSize] = {
    # For tests and trials on a CPU.
    "tiny": DiscriminatorSize(filters=8, windows=(1024, 256)),
    # EnCodec's five scales (§3.4).
    "paper": DiscriminatorSize(filters=32, windows=(2048, 1024, 512, 256, 128)),
}

# ---------------------------------------------------------------- separator

SEPARATOR_SIZES: dict[str, SeparatorSize] = {
    # For a demo on two CPU cores; learns the rendered band in about a minute and a half.
    "tiny": SeparatorSize(
        sources=("drums", "bass", "other", "vocals"),
        segment=1.0,
        channels=16,
        depth=3,
        nfft=2048,
        transformer_layers=0,
        convolution_depth=1,
    ),
    # Hybrid Transformer Demucs as published (Rouard et al., 2023), on the segment of the released `htdemucs`.
    "paper": SeparatorSize(
        sources=("drums", "bass", "other", "vocals"),
        segment=7.8,
        channels=48,
        depth=4,
        nfft=4096,
        bottom_channels=512,
        transformer_layers=5,
        transformer_heads=8,
        convolution_depth=2,
    ),
}
