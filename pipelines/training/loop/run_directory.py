"""A run's directory: its paths, and the check and mark before anything is written into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import StemsError
from models.files.output_folder import check_folder
from models.files.output_listing import is_model, is_working, mark_working
from pipelines.training.config import TrainingConfig
from pipelines.training.tracking.tracking import RUN_FILE


@dataclass(frozen=True)
class RunDirectory:
    """Paths in the output directory of a run."""

    path: Path

    @classmethod
    def of(cls, config: TrainingConfig) -> RunDirectory:
        """The directory that a configuration names."""
        return cls(Path(config.output))

    @property
    def checkpoints(self) -> Path:
        """Folder of ``step-N``."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """The rows of metrics."""
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """Steps and seconds of a finished run."""
        return self.path / "result.json"

    @property
    def samples(self) -> Path:
        """Folder of ``step-N`` with samples."""
        return self.path / "samples"

    @property
    def error(self) -> Path:
        """The StemsError of a worker, for the driver and later workers."""
        return self.path / ".error.json"

    @property
    def tracking_run(self) -> Path:
        """The id of the run in MLflow."""
        return self.path / RUN_FILE


def open_run_directory(config: TrainingConfig) -> Path:
    """Create and mark the directory of a run. If it holds a run already, its other files are left alone.

    Raises:
        StemsError: it holds foreign files, a foreign model would be replaced, or it cannot be written.
    """
    folder = check_folder(config.output, ours=_holds_run)
    model = RunDirectory(folder).model
    if model.is_dir() and not is_model(model):
        raise StemsError(
            f"'{model}' holds files that this command did not write, and the finished model would replace them.",
            "Move them, or choose another output.",
            field="output",
        )
    mark_working(folder)
    return folder


def _holds_run(folder: Path) -> bool:
    """Whether a folder is marked, or has a complete checkpoint, as runs of releases without the mark."""
    return is_working(folder) or any(
        (step / "config.json").is_file() and (step / ".metadata").is_file()
        for step in RunDirectory(folder).checkpoints.glob("step-*")
    )
