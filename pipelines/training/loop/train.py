"""The one way to train: in this process, or on Ray Train workers, with the same code in each.

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
from pipelines.training.loop.run_folder import open_run_folder
from pipelines.training.loop.unshard import finished_recipe
from pipelines.training.loop.worker import Worker
from pipelines.training.tracking.history import Row, latest, read_history
from pipelines.training.tracking.tracking import check_store, record_model

_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run left behind.

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

    Continues a run that stopped; returns at once for one that is finished. StemsError when the settings
    differ from the run's checkpoint (``mismatch``), when the loss stays non-finite (``diverged``), or when the
    folder holds files of others or cannot be written.
    """
    config = _with_absolute_store(config.with_absolute("output"))
    output = Path(config.output)
    if config.batch < config.workers or config.min_workers > config.workers:
        raise StemsError(
            f"A batch of {config.batch} and {config.min_workers} to {config.workers} workers do not fit.",
            "Give each worker an item at least, and min_workers no more than workers.",
            field="workers",
        )
    open_run_folder(config)
    with storage_errors(output):
        return _train(config, make_recipe)


def _train(config: TrainingConfig, make_recipe: Callable[[], Recipe]) -> TrainingResult:
    output = Path(config.output)
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
    done = json.loads((output / "result.json").read_text(encoding="utf-8"))
    history = read_history(output / "metrics.jsonl")
    return TrainingResult(output / "model", done["steps"], done["seconds"], history, latest(history))


def begun_with(config: TrainingConfig, field: str) -> Any:
    """What a setting was in the checkpoint that ``config`` continues; None where it starts a run."""
    found = checkpoints(Path(config.output))
    if not found or config.resume is False:
        return None
    return json.loads((found[-1][1] / "config.json").read_text(encoding="utf-8")).get(field)


def _settle_resume(config: TrainingConfig) -> None:
    """Make the output directory agree with ``config.resume``, once, before any worker starts."""
    output = Path(config.output)
    if config.resume is False:
        for path in (*(path for _, path in checkpoints(output)), output / "model"):
            shutil.rmtree(path, ignore_errors=True)
        for name in ("metrics.jsonl", "result.json", "mlflow-run"):
            (output / name).unlink(missing_ok=True)
    clear_unfinished(output)
    clear_unfinished(output / "checkpoints")
    found = checkpoints(output)
    if config.resume is True and not found:
        raise StemsError(
            f"There is no checkpoint in {output / 'checkpoints'}.",
            "Set resume to auto to start there, or name the output of an earlier run.",
            code="missing",
            field="resume",
        )
    if found:
        check_same_run(found[-1][1], config)


def _finished(config: TrainingConfig) -> bool:
    """Whether the newest checkpoint is at the last step and its model has been exported."""
    output = Path(config.output)
    found, result = checkpoints(output), output / "result.json"
    if not found or found[-1][0] < config.steps or not result.exists() or not (output / "model").exists():
        return False
    return json.loads(result.read_text(encoding="utf-8"))["steps"] == found[-1][0]


def _export(config: TrainingConfig, make_recipe: Callable[[], Recipe], began: float) -> None:
    """Make the model out of the last checkpoint, and note that the run is finished."""
    output = Path(config.output)
    step, checkpoint = checkpoints(output)[-1]
    recipe = finished_recipe(make_recipe, checkpoint, averaged=config.average_decay > 0)
    with replacing(output / "model", bytes_of(recipe.module.state_dict())) as directory:
        recipe.export(directory)
    record_model(config, output / "model")
    seconds = round(time.perf_counter() - began, 3)
    fresh = output / ".result.json.new"
    fresh.write_text(json.dumps({"steps": step, "seconds": seconds}), encoding="utf-8")
    fresh.replace(output / "result.json")


def _with_absolute_store(config: TrainingConfig) -> TrainingConfig:
    """Workers may run in another directory than the one that a SQLite file's path starts from."""
    tracking = config.tracking
    if tracking and tracking.startswith(_SQLITE):
        tracking = f"{_SQLITE}{Path(tracking.removeprefix(_SQLITE)).absolute()}"
    return config.model_copy(update={"tracking": tracking})
