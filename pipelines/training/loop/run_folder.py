"""A run's folder: taken if it is new or holds a run of ours, and marked before anything is written into it."""

from __future__ import annotations

from pathlib import Path

from models.errors import StemsError
from models.files.output_folder import check_folder
from models.files.output_listing import is_model, is_working, mark_working
from pipelines.training.config import TrainingConfig


def open_run_folder(config: TrainingConfig) -> Path:
    """Make and mark the folder of a run. In one that holds a run, other files may lie: none of them is touched.

    Raises:
        StemsError: others' files are there, or their model would be replaced, or nothing can be written there.
    """
    folder = check_folder(config.output, ours=_holds_run)
    model = folder / "model"
    if model.is_dir() and not is_model(model):
        raise StemsError(
            f"'{model}' holds files that are not ours, and the finished model would take its place.",
            "Move them, or choose another output.",
            field="output",
        )
    mark_working(folder)
    return folder


def _holds_run(folder: Path) -> bool:
    """Whether a folder is marked, or has a whole checkpoint: releases before the mark wrote those first."""
    return is_working(folder) or any(
        (step / "config.json").is_file() and (step / ".metadata").is_file()
        for step in (folder / "checkpoints").glob("step-*")
    )
