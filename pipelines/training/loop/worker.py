"""One worker's training, from the first step or the newest checkpoint to the last step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from models.errors import StemsError
from models.files.partial import discard, hidden
from pipelines.training.config import TrainingConfig
from pipelines.training.data.sampler import parts, share
from pipelines.training.loop.average import WeightAverage
from pipelines.training.loop.checkpoints import CheckpointWriter, checkpoints, clear_unfinished, load_state
from pipelines.training.loop.parallel import (
    agreed_on,
    all_finite,
    clip_gradients,
    computes_bfloat16,
    distribute,
    gradients_shared,
    summed_over_workers,
)
from pipelines.training.loop.preemption import Notice
from pipelines.training.loop.progress import StepBar
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.run_directory import RunDirectory
from pipelines.training.loop.schedule import learning_rate
from pipelines.training.loop.unshard import whole_recipe
from pipelines.training.tracking.history import History, Row
from pipelines.training.tracking.tracking import Tracker

SHORT_HANDED = 10
"""Save checkpoints this many times more often while short of workers."""

PATIENCE = 10
"""Consecutive steps that may have a loss or gradient that is not finite."""


class StepOutcome(NamedTuple):
    """Metrics of a step, and whether the optimizer applied it; a step with non-finite gradients is skipped."""

    metrics: dict[str, float]
    applied: bool


class Worker:
    """Runs a recipe as worker ``place.rank`` of ``place.world``. Rank 0 keeps the records."""

    def __init__(
        self, config: TrainingConfig, make_recipe: Callable[[], Recipe], place: Place, notice: Notice
    ) -> None:
        self.config, self.place, self.notice, self.directory = config, place, notice, RunDirectory.of(config)
        self.make_recipe = make_recipe
        torch.manual_seed(config.seed)
        self.recipe = make_recipe()
        self.recipe.prepare(place)
        self.recipe.module.to(place.device).train()
        automatic = config.precision == "auto" and computes_bfloat16(place.device)
        self.bfloat16 = config.precision == "bfloat16" or automatic
        self.module = distribute(self.recipe, place, bfloat16=self.bfloat16)
        self.trained = [p for p in self.recipe.module.parameters() if p.requires_grad]
        self.optimizer = self.recipe.optimizer(self.trained)
        self.average = WeightAverage(self.recipe.module, config.average_decay) if config.average_decay else None
        self.start = self._restore()
        if self.writes:
            clear_unfinished(self.directory.checkpoints)
        self.writer = CheckpointWriter(self.directory.path, config, place)
        self.history = History.resume(self.directory.metrics, self.start) if self.writes else History(None, [])
        self.skipped_steps = sum(row.get("taken") == 0 for row in self.history.rows)
        self.tracker = Tracker(config if self.writes else config.model_copy(update={"tracking": None}))
        self.tracker.describe(self.recipe.facts())

    @property
    def writes(self) -> bool:
        """Whether this worker keeps the records."""
        return self.place.rank == 0

    @property
    def _save_every(self) -> int:
        """Steps between two checkpoints: fewer while short of workers, since the return of machines restarts all."""
        every = self.config.checkpoint_every
        return every if self.place.world >= self.config.workers else max(1, every // SHORT_HANDED)

    def run(self) -> None:
        """Train to the last step, which leaves a checkpoint."""
        finished = False
        try:
            with StepBar(self.config.name, self.config.steps, self.start, shown=self.writes) as bar:
                self._all_steps(bar)
            self.writer.settle()
            finished = True
        finally:
            if self.place.world == 1:  # with several, a worker that the checkpoint needs may be lost
                self.writer.settle()
            self.tracker.end(self.directory.model if finished else None)

    def _all_steps(self, bar: StepBar) -> None:
        """Run the remaining steps; log, validate, sample and save in between."""
        config = self.config
        if self.start == 0:
            self._validate(0)
        skipped_in_a_row, began, warned = 0, time.perf_counter(), False
        for step in range(self.start, config.steps):
            metrics, applied = self._one_step(step)
            done, last = step + 1, step + 1 == config.steps
            bar.at(done, metrics["loss"])
            if done % config.log_every == 0 or last or not applied:
                seconds = round(time.perf_counter() - began, 3)
                self.skipped_steps += not applied
                self._note({"step": done, **_finite(metrics), "skipped": self.skipped_steps, "seconds": seconds})
            skipped_in_a_row = 0 if applied else skipped_in_a_row + 1
            if skipped_in_a_row >= PATIENCE:
                self.writer.settle()
                raise _diverged(f"The loss was not finite for {PATIENCE} steps in a row, up to step {done}.")
            if done % config.validate_every == 0 or last:
                self._validate(done)
            if config.sample_every and done % config.sample_every == 0:
                self._sample(done)
            self.writer.settle(wait=False)
            leaving = not warned and self.notice.given()
            if done % self._save_every == 0 or last or leaving:
                self._save(done)
            if leaving:
                warned = True
                self.writer.settle()
                if self.notice.stops:
                    raise KeyboardInterrupt

    def _one_step(self, step: int) -> StepOutcome:
        """One optimizer step. A non-finite loss or gradient, on any worker, skips it on all of them."""
        config, place, recipe = self.config, self.place, self.recipe
        seed = np.random.SeedSequence((config.seed, step, place.rank)).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed))
        self.optimizer.zero_grad(set_to_none=True)
        metrics = self._gradients(step)
        norm = clip_gradients(self.trained, config.gradient_clip)
        applied = math.isfinite(metrics["loss"]) and math.isfinite(norm)
        rate = learning_rate(config, step)
        if applied:
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.step()
            recipe.after_step(step)
        if self.average and (step + 1) % config.average_every == 0:
            self.average.update((step + 1) // config.average_every - 1)
        more = {"gradient_norm": norm, "learning_rate": rate, "taken": float(applied)}
        return StepOutcome({**metrics, **more}, applied)

    def _gradients(self, step: int) -> dict[str, float]:
        """Accumulate the gradients of global batch ``step``; returns the means of its metrics.

        Every item has the same weight, independent of the split into workers and parts.
        """
        place, batch = self.place, self.config.batch
        mine = parts(share(batch, place.rank, place.world), min(self.config.accumulate, batch // place.world))
        totals: dict[str, float] = {}
        for number, indices in enumerate(mine, start=1):
            weight = len(indices) / batch
            with gradients_shared(self.module, now=number == len(mine)):
                loss, metrics = self._loss(step, indices)
                # DDP and FSDP average gradients over workers, so `* world` turns that into the sum.
                (loss * (weight * place.world)).backward()
            for name, value in {"loss": float(loss.detach()), **metrics}.items():
                totals[name] = totals.get(name, 0.0) + weight * value
        return dict(zip(totals, summed_over_workers(list(totals.values()), place), strict=True))

    def _loss(self, step: int, indices: Sequence[int]) -> tuple[torch.Tensor, dict[str, float]]:
        with self._autocast():
            return self.recipe.loss(self.module, step, indices)

    def _validate(self, step: int) -> None:
        """Validate on every worker alike, so that none waits for another."""
        self.recipe.module.eval()
        with self._averaged(), torch.no_grad(), self._autocast():
            metrics = self.recipe.validate(self.recipe.module)
        self.recipe.module.train()
        self._note({"step": step, **{f"valid/{name}": value for name, value in _finite(metrics).items()}})

    def _sample(self, step: int) -> None:
        """Gather the weights, and let an unsharded recipe write samples on the first worker."""
        with self._averaged():
            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            weights: dict[str, Any] = get_model_state_dict(self.recipe.module, options=options)
            recipe = whole_recipe(self.make_recipe, weights) if self.writes else None
        if recipe:
            recipe.prepare(Place(0, 1, self.place.device))
            recipe.module.to(self.place.device)
            directory = self.directory.samples / f"step-{step}"
            directory.mkdir(parents=True, exist_ok=True)
            partial = hidden(directory)
            try:
                partial.mkdir()
                with torch.no_grad():
                    recipe.sample(partial)
                for file in partial.iterdir():
                    file.replace(directory / file.name)
            finally:
                discard(partial)
            self.tracker.artifacts(directory, f"samples/step-{step}")

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.in_place() if self.average else nullcontext()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.place.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _save(self, step: int) -> None:
        state = self._state()
        if not all_finite(state, self.place):
            raise _diverged(f"After step {step} weights are not finite; they are not saved.")
        self.writer.save(step, state)
        self.tracker.flush()

    def _state(self) -> dict[str, Any]:
        """Everything that a resumed run needs. Tensors are the live ones, or this worker's shards of them."""
        if not self.optimizer.state:  # before the first step: torch then creates its state
            self.optimizer.zero_grad(set_to_none=True)
        module, optimizer = get_state_dict(self.recipe.module, self.optimizer)
        average = {"average": self.average.state} if self.average else {}
        return {"module": module, "optimizer": optimizer, **average}

    def _restore(self) -> int:
        """Load the newest checkpoint; returns the number of steps done."""
        step = agreed_on(max((found.step for found in checkpoints(self.directory.path)), default=0), self.place)
        if not step:
            return 0
        state = self._state()
        load_state(self.directory.checkpoints / f"step-{step}", state, alone=self.place.world == 1)
        set_state_dict(
            self.recipe.module,
            self.optimizer,
            model_state_dict=state["module"],
            optim_state_dict=state["optimizer"],
        )
        return step

    def _note(self, row: Row) -> None:
        self.history.append(row)
        self.tracker.log(row)


def _diverged(message: str) -> StemsError:
    return StemsError(
        message,
        "Lower learning_rate, or look for broken audio in the training data.",
        code="diverged",
        field="learning_rate",
    )


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    # JSON has no NaN; a skipped step shows by taken = 0.
    return {name: value for name, value in metrics.items() if math.isfinite(value)}
