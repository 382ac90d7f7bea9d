"""Settings of every training job. Light to import: no torch, no ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.errors import StemsError


class TrainingConfig(BaseModel):
    """Settings shared by the codec, language model and separator jobs.

    Subclasses add their own fields. A resumed run must have the same settings as its checkpoint, except for the
    fields in ``FREE``: they change where, how often or how fast things happen, not the result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    FREE: ClassVar[frozenset[str]] = frozenset(
        {
            "name",
            "output",
            "steps",
            "log_every",
            "validate_every",
            "checkpoint_every",
            "sample_every",
            "accumulate",
            "workers",
            "min_workers",
            "restarts",
            "resume",
            "tracking",
        }
    )

    name: str = "training"
    """Name of the run in the tracking store."""

    output: str
    """Directory of the run: checkpoints/, metrics.jsonl, and the finished model in model/. Workers on several
    machines need a shared file system."""

    steps: int = Field(default=1000, ge=1)
    """Optimizer steps. Raising it later continues the run, with the learning rate on the longer schedule."""

    batch: int = Field(default=16, ge=1)
    """Items per step, over all workers together; at least one per worker."""

    accumulate: int = Field(default=1, ge=1)
    """Number of parts in which each worker processes its share of a batch: less memory, the same step."""

    seed: int = Field(default=0, ge=0)
    """Seeds the initial weights and every draw. The same seed gives the same run."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""

    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly; after them it falls along a cosine to zero."""

    gradient_clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; larger gradients are scaled down to it. 0 switches clipping off."""

    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights, which is validated and exported. 0 exports the last weights."""

    average_every: int = Field(default=1, ge=1)
    """Steps between two updates of the moving average."""

    log_every: int = Field(default=10, ge=1)
    """Steps between two rows of metrics."""

    validate_every: int = Field(default=500, ge=1)
    """Steps between two validations. There is always one before the first step and one after the last."""

    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints. There is always one after the last step, and one when a machine is about to be
    preempted."""

    sample_every: int = Field(default=0, ge=0)
    """Steps between two sets of samples, in samples/ and the tracking store. 0 makes none."""

    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Precision of matrix products and convolutions (weights stay float32); auto uses bfloat16 where the device
    supports it."""

    workers: int = Field(default=0, ge=0)
    """Ray Train workers, each on a GPU if there are GPUs. 0 trains in this process, without Ray."""

    min_workers: int = Field(default=0, ge=0)
    """Smallest number of workers to continue with when machines are preempted, until all fit again. 0 always waits
    for all workers."""

    restarts: int = Field(default=3, ge=0)
    """How many times dead workers are restarted; training continues from the newest checkpoint."""

    resume: bool | Literal["auto"] = "auto"
    """auto: continue from the newest checkpoint if there is one. true: require one. false: start again and delete the
    earlier run in the output directory."""

    tracking: str | None = "sqlite:///runs/mlflow.db"
    """MLflow tracking address. "off" or an empty value turns tracking off."""

    @field_validator("output")
    @classmethod
    def _is_a_directory(cls, output: str) -> str:
        if "://" in output:
            raise StemsError(
                f"A run cannot be kept at '{output}': finished checkpoints must be renamed.",
                "Name a directory, on a file system that all workers share; `stems publish` takes models further.",
                field="output",
            )
        return output

    def with_absolute(self, *names: str) -> Self:
        """The same settings with absolute local paths, since workers may run in another directory.

        Addresses of object stores stay unchanged.
        """
        paths = {name: getattr(self, name) for name in names}
        local = {name: path for name, path in paths.items() if path and "://" not in path}
        return self.model_copy(update={name: str(Path(path).absolute()) for name, path in local.items()})

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with its checkpoint, as plain JSON data."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in self.FREE}
