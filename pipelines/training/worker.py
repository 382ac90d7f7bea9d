"""One worker's training, from the first step or the newest checkpoint to the last step."""

from __future__ import annotations

import json
import math
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
from pipelines.training.checkpoints import checkpoints, load_state, replace_directory, save_checkpoint
from pipelines.training.config import TrainingConfig
from pipelines.training.history import History, Row
from pipelines.training.progress import StepBar
from pipelines.training.recipe import Recipe
from pipelines.training.schedule import learning_rate
from pipelines.training.tracking import Tracker

PATIENCE = 10
"""Steps in a row that may have a loss or gradient that is not finite."""


@dataclass(frozen=True)
class Place:
    """Which of how many workers, and where it computes."""

    rank: int
    world: int
    device: torch.device


class Worker:
    """Runs a recipe as worker ``place.rank`` of ``place.world``. Rank 0 does all writing."""

    def __init__(self, config: TrainingConfig, make_recipe: Callable[[], Recipe], place: Place) -> None:
        self.config, self.place, self.output = config, place, Path(config.output)
        self.began = time.perf_counter()
        torch.manual_seed(config.seed)
        self.recipe = make_recipe()
        self.recipe.prepare(place.rank, place.world, place.device)
        self.recipe.module.to(place.device).train()
        self.optimizer = self.recipe.optimizer(self.recipe.module.parameters())
        self.start = self._restore()
        self.module = self._distribute(self.recipe.module)
        wanted = config.precision
        self.bfloat16 = wanted == "bfloat16" or (wanted == "auto" and _computes_bfloat16(place.device))
        file = self.output / "metrics.jsonl"
        self.history = History.resume(file, self.start) if self.writes else History(None, [])
        self.tracker = Tracker(config if self.writes else config.model_copy(update={"tracking": None}))

    @property
    def writes(self) -> bool:
        """Whether this worker keeps the records."""
        return self.place.rank == 0

    def run(self) -> None:
        """Train to the last step and export the model."""
        exported = None
        try:
            with StepBar(self.config.name, self.config.steps, self.start, shown=self.writes) as bar:
                self._all_steps(bar)
            if self.writes:
                self.recipe.module.eval()
                replace_directory(self.output / "model", self.recipe.export)
                exported = self.output / "model"
                self._write_result()
        finally:
            self.tracker.end(exported)

    def _all_steps(self, bar: StepBar) -> None:
        """Take the remaining steps, logging, validating and saving on the way."""
        config = self.config
        if self.start == 0:
            self._validate(0)
        skipped, began = 0, time.perf_counter()
        for step in range(self.start, config.steps):
            metrics = self._one_step(step)
            done, last = step + 1, step + 1 == config.steps
            bar.at(done, metrics["loss"])
            if done % config.log_every == 0 or last or not metrics["taken"]:
                seconds = round(time.perf_counter() - began, 3)
                self._note({"step": done, **_finite(metrics), "seconds": seconds})
            skipped = 0 if metrics["taken"] else skipped + 1
            if skipped >= PATIENCE:
                raise StemsError(
                    f"The loss was not finite for {PATIENCE} steps in a row, up to step {done}.",
                    "Lower learning_rate, or look for broken audio in the training data.",
                    code="diverged",
                    field="learning_rate",
                )
            if done % config.validate_every == 0 or last:
                self._validate(done)
            if done % config.checkpoint_every == 0 or last:
                self._save(done)

    def _one_step(self, step: int) -> dict[str, float]:
        """One optimizer step. A non-finite loss or gradient, on any worker, skips it on all of them."""
        config, recipe = self.config, self.recipe
        seed = np.random.SeedSequence((config.seed, step, self.place.rank)).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed))
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss, extra = recipe.loss(self.module, step)
        metrics = self._mean_over_workers({"loss": float(loss.detach()), **extra})
        taken, norm = math.isfinite(metrics["loss"]), math.nan
        if taken:
            loss.backward()
            limit = config.gradient_clip or math.inf
            norm = float(torch.nn.utils.clip_grad_norm_(recipe.module.parameters(), limit))
            taken = math.isfinite(norm)
        rate = learning_rate(config, step)
        if taken:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            recipe.after_step(step)
        return {**metrics, "gradient_norm": norm, "learning_rate": rate, "taken": float(taken)}

    def _mean_over_workers(self, metrics: dict[str, float]) -> dict[str, float]:
        if self.place.world == 1:
            return metrics
        values = torch.tensor(list(metrics.values()), device=self.place.device, dtype=torch.float64)
        dist.all_reduce(values)
        return dict(zip(metrics, (values / self.place.world).tolist(), strict=True))

    def _validate(self, step: int) -> None:
        module = self.recipe.module
        if self.writes:
            module.eval()
            with torch.no_grad():
                metrics = self.recipe.validate(module)
            module.train()
            self._note({"step": step, **{f"valid/{name}": value for name, value in _finite(metrics).items()}})
        self._wait_for_all()

    def _save(self, step: int) -> None:
        if self.writes:
            state = {"module": self.recipe.module.state_dict(), "optimizer": self.optimizer.state_dict()}
            save_checkpoint(self.output, step, state, self.config)
        self.tracker.flush()

    def _write_result(self) -> None:
        steps = checkpoints(self.output)[-1][0]
        seconds = round(time.perf_counter() - self.began, 3)
        fresh = self.output / ".result.json.new"
        fresh.write_text(json.dumps({"steps": steps, "seconds": seconds}))
        fresh.replace(self.output / "result.json")

    def _note(self, row: Row) -> None:
        self.history.append(row)
        self.tracker.log(row)

    def _wait_for_all(self) -> None:
        if self.place.world > 1:
            dist.barrier()

    def _distribute(self, module: nn.Module) -> nn.Module:
        if self.place.world == 1:
            return module
        # Buffers are the same on every worker by construction (their statistics are shared): none are sent.
        where = [self.place.device] if self.place.device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=where, forward_sync_buffers=False)

    def _restore(self) -> int:
        """Load the newest checkpoint, if there is one, and return its step."""
        found = checkpoints(self.output)
        if not found:
            return 0
        step, path = found[-1]
        state: dict[str, Any] = load_state(path, self.place.device)
        self.recipe.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        return step


def _computes_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16 products; elsewhere they are slower than float32's."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    # JSON has no NaN; a skipped step shows by taken = 0.
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
