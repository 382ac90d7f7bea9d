"""The one training loop: the same function in this process, or in each Ray Train worker.

A run is exactly resumable: samples, dropout and learning rate are functions of the step, and a checkpoint
holds the rest. Killed at any moment, it continues from its newest complete checkpoint.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from models.errors import StemsError
from pipelines.training.checkpoints import (
    check_same_run,
    checkpoints,
    clear_unfinished,
    load_state,
    replace_directory,
    save_checkpoint,
)
from pipelines.training.config import TrainingConfig
from pipelines.training.history import History, Row, latest, read_history
from pipelines.training.progress import StepBar
from pipelines.training.recipe import Recipe
from pipelines.training.schedule import learning_rate
from pipelines.training.tracking import Tracker

PATIENCE = 10
"""Steps in a row that may have a loss or gradient that is not finite."""


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run left behind.

    ``directory`` is the exported model, ``seconds`` the time of the call that finished it, ``history`` its
    rows of metrics (see :mod:`pipelines.training.history`) and ``final`` the newest value of each.
    """

    directory: Path
    steps: int
    seconds: float
    history: list[Row]
    final: Row


def train(config: TrainingConfig, make_recipe: Callable[[], Recipe]) -> TrainingResult:
    """Train to ``config.steps`` steps and export the model to ``<output>/model``.

    Continues a run that stopped; returns at once for one that is finished. StemsError when the settings
    differ from the run's checkpoint (``mismatch``), or when the loss stays non-finite (``diverged``).
    """
    config = _with_absolute_paths(config)
    output = Path(config.output)
    if config.workers and config.batch % config.workers:
        raise StemsError(
            f"A batch of {config.batch} does not divide among {config.workers} workers.",
            "Make batch a multiple of workers.",
            field="batch",
        )
    _settle_resume(config)
    if not _finished(config):
        if config.workers:
            from pipelines.training.workers import run_on_ray

            run_on_ray(config, make_recipe)
        else:
            device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
            with torch.random.fork_rng():
                run(config, make_recipe, 0, 1, device)
    done = json.loads((output / "result.json").read_text())
    history = read_history(output / "metrics.jsonl")
    return TrainingResult(output / "model", done["steps"], done["seconds"], history, latest(history))


def run(
    config: TrainingConfig, make_recipe: Callable[[], Recipe], rank: int, world: int, device: torch.device
) -> None:
    """One worker's whole training: prepare, continue or start, step, export. Rank 0 does all writing."""
    began, output, writes = time.perf_counter(), Path(config.output), rank == 0
    torch.manual_seed(config.seed)
    recipe = make_recipe()
    recipe.prepare(rank, world, device)
    recipe.module.to(device).train()
    optimizer = recipe.optimizer(recipe.module.parameters())
    start = _restore(config, recipe.module, optimizer, device)
    module = _distribute(recipe.module, world, device)
    history = History.resume(output / "metrics.jsonl", start) if writes else History(None, [])
    tracker = Tracker(config if writes else config.model_copy(update={"tracking": None}))
    exported = None
    try:
        with StepBar(config.name, config.steps, start, shown=writes) as bar:
            _steps(config, recipe, module, optimizer, start, rank, world, history, tracker, bar)
        if writes:
            recipe.module.eval()
            replace_directory(output / "model", recipe.export)
            exported = output / "model"
            steps = checkpoints(output)[-1][0]
            result = {"steps": steps, "seconds": round(time.perf_counter() - began, 3)}
            (output / "result.json").write_text(json.dumps(result))
    finally:
        tracker.end(exported)


def _steps(
    config: TrainingConfig,
    recipe: Recipe,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    start: int,
    rank: int,
    world: int,
    history: History,
    tracker: Tracker,
    bar: StepBar,
) -> None:
    """Take the remaining steps, logging, validating and saving on the way."""

    def note(row: Row) -> None:
        history.append(row)
        tracker.log(row)

    if start == 0:
        note(_validate(recipe, 0, rank, world))
    skipped, began = 0, time.perf_counter()
    for step in range(start, config.steps):
        rate = learning_rate(config, step)
        metrics = _step(config, recipe, module, optimizer, step, rate, rank, world)
        skipped = 0 if metrics["taken"] else skipped + 1
        if skipped >= PATIENCE:
            raise StemsError(
                f"The loss was not finite for {PATIENCE} steps in a row, up to step {step + 1}.",
                "Lower learning_rate, or look for broken audio in the training data.",
                code="diverged",
                field="learning_rate",
            )
        done, last = step + 1, step + 1 == config.steps
        bar.at(done, metrics["loss"])
        if done % config.log_every == 0 or last or not metrics["taken"]:
            spent = round(time.perf_counter() - began, 3)
            note({"step": done, **_finite(metrics), "learning_rate": rate, "seconds": spent})
        if done % config.validate_every == 0 or last:
            note(_validate(recipe, done, rank, world))
        if done % config.checkpoint_every == 0 or last:
            if rank == 0:
                state = {"module": recipe.module.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(Path(config.output), done, state, config)
            tracker.flush()


def _step(
    config: TrainingConfig,
    recipe: Recipe,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    rate: float,
    rank: int,
    world: int,
) -> dict[str, float]:
    """One optimizer step. A non-finite loss or gradient, on any worker, skips it on all of them."""
    seed = np.random.SeedSequence((config.seed, step, rank)).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(seed))
    optimizer.zero_grad(set_to_none=True)
    loss, extra = recipe.loss(module, step)
    metrics = _mean_over_workers({"loss": float(loss.detach()), **extra}, world)
    taken = math.isfinite(metrics["loss"])
    norm = float("nan")
    if taken:
        loss.backward()
        limit = config.gradient_clip or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(recipe.module.parameters(), limit))
        taken = math.isfinite(norm)
    if taken:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        recipe.after_step(step)
    return {**metrics, "gradient_norm": norm, "taken": float(taken)}


def _mean_over_workers(metrics: dict[str, float], world: int) -> dict[str, float]:
    if world == 1:
        return metrics
    values = torch.tensor(list(metrics.values()), dtype=torch.float64)
    if dist.get_backend() == "nccl":
        values = values.cuda()
    dist.all_reduce(values)
    return dict(zip(metrics, (values / world).tolist(), strict=True))


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    # JSON has no NaN; a skipped step shows by taken = 0.
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _validate(recipe: Recipe, step: int, rank: int, world: int) -> Row:
    row: Row = {"step": step}
    if rank == 0:
        recipe.module.eval()
        with torch.no_grad():
            metrics = recipe.validate(recipe.module)
        recipe.module.train()
        row |= {f"valid/{name}": value for name, value in _finite(metrics).items()}
    if world > 1:
        dist.barrier()
    return row


def _distribute(module: nn.Module, world: int, device: torch.device) -> nn.Module:
    if world == 1:
        return module
    # Buffers are the same on every worker by construction (statistics are all-reduced): no broadcast needed.
    where = [device] if device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=where, forward_sync_buffers=False)


def _restore(
    config: TrainingConfig, module: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> int:
    """Load the newest checkpoint, if there is one, and return its step."""
    found = checkpoints(Path(config.output))
    if not found:
        return 0
    step, path = found[-1]
    state: dict[str, Any] = load_state(path, device)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return step


def _settle_resume(config: TrainingConfig) -> None:
    """Make the output directory agree with ``config.resume``, once, before any worker starts."""
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    if config.resume is False:
        for name in ("checkpoints", "model"):
            shutil.rmtree(output / name, ignore_errors=True)
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
    return json.loads(result.read_text())["steps"] == found[-1][0]


def _with_absolute_paths(config: TrainingConfig) -> TrainingConfig:
    """Workers may run in another directory: resolve relative paths here."""
    tracking = config.tracking
    if tracking and tracking.startswith("sqlite:///") and tracking != "sqlite:///:memory:":
        tracking = f"sqlite:///{Path(tracking.removeprefix('sqlite:///')).absolute()}"
    return config.model_copy(update={"output": str(Path(config.output).absolute()), "tracking": tracking})
