"""Settings of every training job. Light to import: no torch, no ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.errors import StemsError


class TrainingConfig(BaseModel):
    """Settings shared by the codec, language model and separator jobs.

    Subclasses add their own fields. A resumed run must have the same settings as its checkpoint, but for the
    fields in ``FREE``: they change where, how often or how fast things happen, not what is learned.
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
    """Name of the run in MLflow."""

    output: str
    """Directory of the run: checkpoints/, metrics.jsonl, and the finished model in model/. With workers on several
    machines, it must be on a shared file system."""

    steps: int = Field(default=1000, ge=1)
    """Optimizer steps. A higher number later continues the run, on the longer learning-rate schedule."""

    batch: int = Field(default=16, ge=1)
    """Items per step, over all workers together; at least one per worker."""

    accumulate: int = Field(default=1, ge=1)
    """Parts in which each worker computes its share of a batch, one after the other: less memory, same step."""

    seed: int = Field(default=0, ge=0)
    """Seed of the initial weights and of every draw. The same seed gives the same run."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate."""

    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly; after them it falls along a cosine to zero."""

    gradient_clip: float = Field(default=1.0, ge=0)
    """Largest gradient norm; longer gradients are scaled down to it. 0 does not clip."""

    average_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is validated and exported. 0 exports the last weights."""

    average_every: int = Field(default=1, ge=1)
    """Steps between two updates of the moving average."""

    log_every: int = Field(default=10, ge=1)
    """Steps between two rows of metrics."""

    validate_every: int = Field(default=500, ge=1)
    """Steps between two validations. There is always one before the first step and one after the last."""

    checkpoint_every: int = Field(default=500, ge=1)
    """Steps between two checkpoints. There is always one after the last step, and one before a machine is taken
    away."""

    sample_every: int = Field(default=0, ge=0)
    """Steps between two sets of samples, in samples/ and MLflow. 0 makes none."""

    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Number format of matrix products and convolutions (weights stay float32); auto takes bfloat16 if the device
    supports it."""

    workers: int = Field(default=0, ge=0)
    """Ray Train workers, with one GPU each if there are GPUs. 0 trains in this process, without Ray."""

    min_workers: int = Field(default=0, ge=0)
    """Fewest workers with which to go on while machines are away. 0 waits for all workers."""

    restarts: int = Field(default=3, ge=0)
    """How often to restart workers that died; training continues from the newest checkpoint."""

    resume: bool | Literal["auto"] = "auto"
    """auto: continue from the newest checkpoint if there is one. --resume: require one. --no-resume: start over, and
    delete what an earlier run left in the output directory."""

    tracking: str | None = "sqlite:///runs/mlflow.db"
    """MLflow tracking address; off turns tracking off."""

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
        """The same with local paths made absolute, since workers may run in another directory.

        What is on an object store has an address that is the same everywhere.
        """
        paths = {name: getattr(self, name) for name in names}
        local = {name: path for name, path in paths.items() if path and "://" not in path}
        return self.model_copy(update={name: str(Path(path).absolute()) for name, path in local.items()})

    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with its checkpoint, as plain JSON data."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name not in self.FREE}
