"""Settings of `stems train lm`. Light to import: no torch, no ray."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pipelines.training.config import TrainingConfig


class LMTraining(TrainingConfig):
    """Train the language model on a token table. Defaults are the paper's where it gives one, else MusicGen's."""

    FREE: ClassVar[frozenset[str]] = TrainingConfig.FREE | {
        "sharding",
        "recompute",
        "validation_examples",
        "sample_prompts",
        "sample_seconds",
    }

    name: str = "lm"
    """Name of the run in MLflow."""

    output: str = "runs/lm"
    """Directory of the run: checkpoints/, metrics.jsonl, and the finished model in model/."""

    table: str
    """Token table written by `stems prepare`, local or s3://. For s3://, every node needs the AWS_* variables in its
    environment when Ray starts there; a Ray started by this command has them."""

    codecs: str
    """Directory with one codec per stem: the codecs that made the table's tokens."""

    table_version: int | None = None
    """Version of the table; by default the newest."""

    preset: Literal["tiny", "small", "medium", "large"] | None = None
    """Size of the model, by name (models/presets.py); by default small. Not with --start-from, which brings its
    model's sizes."""

    text_encoder: str = ""
    """Text encoder instead of the preset's: a T5 by hub name or directory, or bytes for one that is trained along."""

    start_from: str = ""
    """Model to start from instead of random weights: the directory of a language model or of a whole model. It must
    have the table's stems and codecs, or be a MusicGen (`stems import`), whose codebooks are then spread over the
    stems. The directory must stay until training has ended."""

    lora_rank: int = Field(default=0, ge=0)
    """Train adapters of this rank on the attention and feed-forward layers of --start-from, and freeze the rest. The
    exported model has them merged. 0 trains all weights."""

    lora_alpha: float = Field(default=16.0, gt=0)
    """Weight of the adapters (LoRA's alpha), divided by their rank."""

    steps: int = Field(default=400_000, ge=1)
    """Optimizer steps."""

    batch: int = Field(default=128, ge=1)
    """Examples per step, over all workers together."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate."""

    warmup_steps: int = Field(default=4000, ge=0)
    """Steps over which the learning rate rises linearly; after them it falls along a cosine to zero."""

    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """Number format of matrix products (weights stay float32); auto takes bfloat16 if the device supports it. float16
    is not offered: it diverges."""

    average_decay: float = Field(default=0.99, ge=0, lt=1)
    """Decay of the moving average of the weights that is validated and exported. 0 exports the last weights."""

    average_every: int = Field(default=10, ge=1)
    """Steps between two updates of the moving average."""

    sharding: Literal["ddp", "fsdp"] = "ddp"
    """How workers share the model: each holds all of it (ddp), or a part of each layer (fsdp), for models that do not
    fit one GPU."""

    recompute: bool = False
    """Recompute activations within layers for the gradient instead of keeping them: less memory, a third more
    time."""

    edit_share: float = Field(default=0.5, ge=0, le=1)
    """Share of editing examples; the rest is text-to-music."""

    task_draw: Literal["sample", "batch"] = "sample"
    """Draw edit or text-to-music for each example (sample), or once for a whole step (batch), as the reference
    does."""

    partial_masks: bool = True
    """Let edits hide only the last codebooks of a stem (paper); otherwise always all of them (reference)."""

    span_share: float = Field(default=0.0, ge=0, le=1)
    """Share of edits that hide their stems only for a time, as edits of a region do; the paper has none."""

    merge_text: float = Field(default=0.25, ge=0, le=1)
    """Share of examples whose tags are added to the caption. A song without a caption is described by its tags."""

    drop_description: float = Field(default=0.5, ge=0, le=1)
    """Share of those examples whose caption is left out."""

    drop_tag: float = Field(default=0.5, ge=0, le=1)
    """Share of tags left out in those examples, drawn for each tag."""

    text_dropout: float = Field(default=0.3, ge=0, le=1)
    """Share of examples without text, which guidance needs."""

    validation_examples: int = Field(default=16, ge=1)
    """Validation examples per task."""

    sample_prompts: tuple[str, ...] = ()
    """Prompts of sample songs; by default the captions of the first validation songs."""

    sample_seconds: float = Field(default=10.0, gt=0)
    """Length of a sample, no longer than a training example."""
