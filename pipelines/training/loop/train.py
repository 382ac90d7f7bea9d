"""The training loop of all jobs: in this process, or on Ray Train workers, with the same code in each.

A run is exactly resumable: samples, dropout and learning rate are functions of the step, and a checkpoint
holds the rest. Killed at any moment, it continues from its newest complete checkpoint.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from models.errors import StemsError
from models.files.output_folder import replacing
from models.files.storage import storage_errors
from pipelines.training.config import TrainingConfig
from pipelines.training.loop.checkpoints import bytes_of, check_same_run, checkpoints, clear_unfinished
from pipelines.training.loop.on_ray import run_on_ray
from pipelines.training.loop.preemption import TerminationNotice
from pipelines.training.loop.progress import summary_table
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.run_directory import RunDirectory, open_run_directory
from pipelines.training.loop.unshard import finished_recipe
from pipelines.training.loop.worker import Worker
from pipelines.training.tracking.history import Row, latest, read_history
from pipelines.training.tracking.tracking import check_store, record_model

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class TrainingResult:
    """Result of a finished run.

    ``directory`` is the exported model, ``seconds`` the time of the call that finished it, ``history`` its
    rows of metrics (see :mod:`pipelines.training.tracking.history`) and ``final`` the newest value of each.
    """

    directory: Path
    steps: int
    seconds: float
    history: list[Row]
    final: Row

    def summary(self) -> Table:
        """The metrics for a terminal."""
        return summary_table(f"{self.directory} · {self.steps} steps, {self.seconds:.0f} s", self.history)


def train(config: TrainingConfig, make_recipe: Callable[[], Recipe]) -> TrainingResult:
    """Train to ``config.steps`` steps and export the model to ``<output>/model``.

    Continues an interrupted run; returns at once for a finished one. StemsError if the settings differ from the
    run's checkpoint (``mismatch``), if the loss stays non-finite (``diverged``), or if the directory holds foreign
    files or cannot be written.
    """
    config = _with_absolute_store(config.with_absolute("output"))
    output = Path(config.output)
    if config.batch < config.workers or config.min_workers > config.workers:
        raise StemsError(
            f"A batch of {config.batch} and {config.min_workers} to {config.workers} workers do not fit.",
            "Give each worker at least one item, and set min_workers to at most workers.",
            field="workers",
        )
    open_run_directory(config)
    with storage_errors(output):
        return _train(config, make_recipe)


def _train(config: TrainingConfig, make_recipe: Callable[[], Recipe]) -> TrainingResult:
    run = RunDirectory.of(config)
    _settle_resume(config)
    if not _finished(config):
        began = time.perf_counter()
        if config.workers:
            check_store(config)
            run_on_ray(config, make_recipe)
        else:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            with torch.random.fork_rng(), TerminationNotice() as notice:
                Worker(config, make_recipe, Place(0, 1, device), notice).run()
        _export(config, make_recipe, began)
    done = json.loads(run.result.read_text(encoding="utf-8"))
    history = read_history(run.metrics)
    return TrainingResult(run.model, done["steps"], done["seconds"], history, latest(history))


def resumed_setting(config: TrainingConfig, field: str) -> Any:
    """The value of a setting in the checkpoint that ``config`` continues; None for a new run."""
    found = checkpoints(Path(config.output))
    if not found or config.resume is False:
        return None
    return json.loads((found[-1].path / "config.json").read_text(encoding="utf-8")).get(field)


def _settle_resume(config: TrainingConfig) -> None:
    """Make the output directory agree with ``config.resume``, once, before any worker starts."""
    run = RunDirectory.of(config)
    if config.resume is False:
        for folder in (*(checkpoint.path for checkpoint in checkpoints(run.path)), run.model):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (run.metrics, run.result, run.tracking_run):
            file.unlink(missing_ok=True)
    clear_unfinished(run.path)
    clear_unfinished(run.checkpoints)
    found = checkpoints(run.path)
    if config.resume is True and not found:
        raise StemsError(
            f"There is no checkpoint in {run.checkpoints}.",
            "Set resume to auto to start there, or name the output of an earlier run.",
            code="missing",
            field="resume",
        )
    if found:
        check_same_run(found[-1].path, config)


def _finished(config: TrainingConfig) -> bool:
    """Whether the newest checkpoint is at the last step and its model has been exported."""
    run = RunDirectory.of(config)
    found = checkpoints(run.path)
    if not found or found[-1].step < config.steps or not run.result.exists() or not run.model.exists():
        return False
    return json.loads(run.result.read_text(encoding="utf-8"))["steps"] == found[-1].step


def _export(config: TrainingConfig, make_recipe: Callable[[], Recipe], began: float) -> None:
    """Export the model from the last checkpoint, and mark the run as finished."""
    run = RunDirectory.of(config)
    step, path = checkpoints(run.path)[-1]
    recipe = finished_recipe(make_recipe, path, averaged=config.average_decay > 0)
    with replacing(run.model, bytes_of(recipe.module.state_dict())) as directory:
        recipe.export(directory)
    record_model(config, run.model)
    seconds = round(time.perf_counter() - began, 3)
    fresh = run.path / ".result.json.new"
    fresh.write_text(json.dumps({"steps": step, "seconds": seconds}), encoding="utf-8")
    fresh.replace(run.result)


def _with_absolute_store(config: TrainingConfig) -> TrainingConfig:
    """Make a SQLite path absolute, since workers may run in another directory."""
    tracking = config.tracking
    if tracking and tracking.startswith(_SQLITE):
        tracking = f"{_SQLITE}{Path(tracking.removeprefix(_SQLITE)).absolute()}"
    return config.model_copy(update={"tracking": tracking})
