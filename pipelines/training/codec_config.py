"""What the codec job can be told."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipelines.training.config import TrainingConfig


class CodecTraining(TrainingConfig):
    """Train one stem's codec on a folder of stems, ``<stems>/<song>/<stem>.flac`` (or .wav)."""

    FREE: ClassVar[frozenset[str]] = TrainingConfig.FREE | {"stems", "memory_gb"}

    name: str = "codec"

    stems: str
    """Folder of songs, each a folder of stems."""

    stem: str
    """Which stem to learn."""

    codebooks: int = Field(default=1, ge=1)
    """Residual codebooks: codes a frame."""

    preset: Literal["tiny", "paper"] = "paper"
    """Size of the network, by name (models/presets.py)."""

    batch: int = Field(default=64, ge=1)
    """Crops a step, over all workers together. Must be a multiple of the number of workers."""

    steps: int = Field(default=400_000, ge=1)
    """Optimizer steps."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate."""

    codebook_decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the moving average that codebooks follow. A short run with a high learning rate needs less, such as
    0.9: the codes must keep up with the encoder."""

    crop_seconds: float = Field(default=1.0, gt=0)
    """Length of a training crop."""

    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the songs that is kept for validation, at least one; chosen by a hash of the song's name."""

    memory_gb: float = Field(default=2.0, gt=0)
    """Decoded audio kept in memory by each worker. Beyond it songs are decoded again when needed."""
