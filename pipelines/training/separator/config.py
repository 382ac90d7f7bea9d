"""Settings of `stems train separator`. Light to import: no torch, no ray."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.training.config import TrainingConfig


class SeparatorTraining(TrainingConfig):
    """Train a Demucs on songs whose stems are known. Defaults are Hybrid Transformer Demucs' own."""

    name: str = "separator"
    """Name of the run in MLflow."""

    output: str = "runs/separator"
    """Directory of the run: checkpoints/, metrics.jsonl, and the finished model in model/."""

    data: str
    """Folder of multitracks: one folder per song, one audio file per stem, such as song/drums.flac. A missing stem is
    silent. Files on s3:// are copied to stems/ in the output directory."""

    preset: Literal["tiny", "paper"] = "paper"
    """Size of the network, and its stems."""

    steps: int = Field(default=960_000, ge=1)
    """Optimizer steps."""

    batch: int = Field(default=32, ge=1)
    """Examples per step, over all workers together."""

    learning_rate: float = Field(default=3e-4, gt=0)
    """Peak learning rate."""

    remix_share: float = Field(default=0.5, ge=0, le=1)
    """Share of examples whose stems come from different songs."""

    vocal_share: float = Field(default=0.5, ge=0, le=1)
    """Share of examples with singing, whatever its share in the data."""

    held_out: int = Field(default=4, ge=1)
    """Songs kept out of training, to measure the separation and to set the vocal threshold."""

    memory_gb: float = Field(default=16.0, gt=0)
    """Memory for decoded songs (16-bit stereo) in each worker, in GB."""
