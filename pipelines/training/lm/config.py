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
    """What the run is called in the tracking store."""

    output: str = "runs/lm"
    """Directory of the run: checkpoints/, metrics.jsonl, and the finished model in model/."""

    table: str
    """The token table that `stems prepare` wrote, local or s3://. Every node needs the AWS_* variables of an object
    store in its environment when Ray starts there; a Ray that starts with the training has those of this command."""

    codecs: str
    """Directory with one codec a stem: the ones that made the table's tokens."""

    table_version: int | None = None
    """Version of the table; by default the newest."""

    preset: Literal["tiny", "small", "medium", "large"] | None = None
    """Size of the model, by name (models/presets.py): small, where nothing is said. Not with start_from, which brings
    its model's sizes."""

    text_encoder: str = ""
    """In place of the preset's text encoder: a T5 by hub name or directory, or "bytes" for one trained along."""

    start_from: str = ""
    """A model to start from in place of random weights: a language model's directory, or a whole model's. It must
    have the table's stems and have learned its codecs, or be a MusicGen (`stems import`), whose codebooks are then
    spread over the stems. The directory must stay until training has ended."""

    lora_rank: int = Field(default=0, ge=0)
    """Train adapters of this rank on the attention and feed-forward layers of start_from, and leave the rest of it
    as it is. The exported model holds them merged. 0 trains all weights."""

    lora_alpha: float = Field(default=16.0, gt=0)
    """Weight of the adapters, over their rank."""

    steps: int = Field(default=400_000, ge=1)
    """Optimizer steps."""

    batch: int = Field(default=128, ge=1)
    """Examples a step, over all workers together."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate."""

    warmup_steps: int = Field(default=4000, ge=0)
    """Steps over which the learning rate rises linearly; after them it falls along a cosine to zero."""

    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """In which matrix products are computed (weights stay float32); auto takes bfloat16 where the device computes
    in it. float16 is not offered: it diverges."""

    average_decay: float = Field(default=0.99, ge=0, lt=1)
    """Of the moving average of the weights that is validated and exported. 0 exports the last weights."""

    average_every: int = Field(default=10, ge=1)
    """Steps between two updates of that average."""

    sharding: Literal["ddp", "fsdp"] = "ddp"
    """How several workers share the work: each holds the whole model (ddp), or a part of each layer (fsdp), for
    models that one does not hold."""

    recompute: bool = False
    """Keep no activations within layers, compute them again for the gradient: less memory, a third more time."""

    edit_share: float = Field(default=0.5, ge=0, le=1)
    """Share of editing examples; the rest is text-to-music."""

    task_draw: Literal["sample", "batch"] = "sample"
    """Whether each example is drawn to be an edit or not, or those of a step together, as the reference does."""

    partial_masks: bool = True
    """Whether edits may hide some of a stem's codebooks, the last ones (paper); if not, always all (reference)."""

    span_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the edits that hide their stems for a time only, as edits of a region do; the paper has none."""

    merge_text: float = Field(default=0.25, ge=0, le=1)
    """Share of examples whose tags are joined to the caption. A song without a caption is described by its tags."""

    drop_description: float = Field(default=0.5, ge=0, le=1)
    """Share of these whose caption is left out."""

    drop_tag: float = Field(default=0.5, ge=0, le=1)
    """Share of the tags that are left out then, each on its own."""

    text_dropout: float = Field(default=0.3, ge=0, le=1)
    """Share of examples whose text is dropped, so that guidance has its unconditional side."""

    validation_examples: int = Field(default=16, ge=1)
    """Examples for each task of a validation."""

    sample_prompts: tuple[str, ...] = ()
    """What sample songs should sound like; by default as the first songs of the validation split do."""

    sample_seconds: float = Field(default=10.0, gt=0)
    """Length of a sample, no longer than a training example."""
