"""Sizes that have a name; every number with its source."""

from __future__ import annotations

from dataclasses import dataclass

from models.text import TextConfig

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
    # MusicGen's three sizes; the paper's model is "medium" (FACTS §1.3, §2).
    "small": LMSize(dim=1024, heads=16, layers=24, segment_seconds=30.0, text=T5_BASE),
    "medium": LMSize(dim=1536, heads=24, layers=48, segment_seconds=30.0, text=T5_BASE),
    "large": LMSize(dim=2048, heads=32, layers=48, segment_seconds=30.0, text=T5_BASE),
}
