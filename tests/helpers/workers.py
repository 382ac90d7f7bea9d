"""Training workers as processes of their own, without Ray: what each does is what it does under Ray."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from helpers.processes import PROCESSES
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from models.lm.language_model import LMConfig
from models.lm.text import TextConfig
from pipelines.training.lm.config import LMTraining
from pipelines.training.lm.song_table import select_songs
from pipelines.training.lm.train_lm import LMRecipe
from pipelines.training.loop.preemption import Notice
from pipelines.training.loop.recipe import Place
from pipelines.training.loop.worker import Worker

SEGMENT = 48
HANGS = 100
"""Seconds after which a process that hangs says where."""


class SmallLM(LMRecipe):
    """The language model's recipe at a size for tests; notes which examples it takes."""

    def __init__(self, config: LMTraining) -> None:
        songs = select_songs(config.table, config.table_version)
        size = LMConfig(
            layout=songs.layout,
            cardinality=16,
            dim=32,
            heads=4,
            layers=3,
            segment_frames=SEGMENT,
            text=TextConfig(kind="bytes", dim=16),
            codecs=songs.codecs,
        )
        super().__init__(config, size)

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        with (Path(self.config.output) / f"seen-{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps([step, list(indices)]) + "\n")
        return super().loss(module, step, indices)


class SlowLM(SmallLM):
    """The same, slow enough to be hit in the middle."""

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        time.sleep(0.05)
        return super().loss(module, step, indices)


class NoticeAfter(Notice):
    """Notice before the given step; ``kill`` gives none, but kills the process there."""

    stops = True

    def __init__(self, step: int | None, kill: bool) -> None:
        self.step, self.kill, self.asked = step, kill, 0

    def given(self) -> bool:
        self.asked += 1
        if self.asked == self.step and self.kill:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.asked == self.step


Job = Callable[[Worker], Any]


def train(worker: Worker) -> None:
    """Train until the end or notice."""
    with suppress(KeyboardInterrupt):
        worker.run()


def gradients(worker: Worker) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Metrics and whole gradients of the first step."""
    metrics = worker._gradients(0)
    named = {name: p.grad for name, p in worker.recipe.module.named_parameters() if p.grad is not None}
    return metrics, {name: g.full_tensor() if isinstance(g, DTensor) else g for name, g in named.items()}


def adapted_gradients(worker: Worker) -> tuple[dict[str, float], dict[str, Tensor]]:
    """The same where adapters have learned something: they start at zero, and so would half of their gradients."""
    with torch.no_grad():
        for name, parameter in worker.recipe.module.named_parameters():
            if name.endswith(".up"):
                parameter.fill_(0.01)
    return gradients(worker)


def run_workers(
    config: LMTraining, world: int, job: Job = train, *, stop_after: int | None = None, killed: int | None = None
) -> Any:
    """Do a job on ``world`` processes, and return what the first one returned.

    Args:
        config: of the training.
        world: how many processes.
        job: what each does with its worker.
        stop_after: all get notice after so many steps of theirs.
        killed: this rank is killed then, in place of the notice; the others are too, when they miss it.
    """
    Path(config.output).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (world, folder, config.model_dump_json(), job, stop_after, killed)
        processes = [PROCESSES.Process(target=_process, args=(rank, *arguments)) for rank in range(world)]
        for process in processes:
            process.start()
        if killed is not None:
            processes[killed].join(timeout=120)
            for process in processes:
                process.kill()
        for process in processes:
            process.join(timeout=120)
            assert process.exitcode == 0 or killed is not None
        answer = Path(folder) / "answer.pt"
        return torch.load(answer, weights_only=False) if answer.exists() else None


def _process(
    rank: int, world: int, folder: str, config_json: str, job: Job, stop_after: int | None, killed: int | None
) -> None:
    torch.set_num_threads(1)
    faulthandler.dump_traceback_later(HANGS)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    config = LMTraining.model_validate_json(config_json)
    notice = NoticeAfter(stop_after if killed in (None, rank) else None, kill=killed is not None)
    worker = Worker(config, partial(SmallLM, config), Place(rank, world, torch.device("cpu")), notice)
    answer = job(worker)
    if rank == 0 and answer is not None:
        torch.save(answer, Path(folder) / "answer.pt")
    if world > 1:
        # Else the group would go with the worker, and wait for threads of its own that wait for Python.
        del worker
        dist.barrier()
        dist.destroy_process_group()
