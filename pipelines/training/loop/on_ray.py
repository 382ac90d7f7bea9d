"""The training loop on Ray Train: one process per worker, restarted when some are lost."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cluster.connect import connect
from cluster.nodes import NodeShape, grows, read_shapes
from cluster.placement import check_all_fit, check_fits, places
from cluster.waiting import Want
from cluster.watch import watch
from models.errors import StemsError
from models.files.storage import storage_errors
from pipelines.training.config import TrainingConfig
from pipelines.training.loop.progress import StepBar
from pipelines.training.loop.recipe import Recipe
from pipelines.training.loop.run_directory import RunDirectory
from pipelines.training.tracking.history import latest, read_history

RESIZE_SECONDS = 300.0
"""How often a run that is short of workers looks for room for more, to restart on them."""


def run_on_ray(config: TrainingConfig, make_recipe: Callable[[], Recipe]) -> None:
    """Train on ``config.workers`` Ray Train workers, on GPUs if the cluster has any.

    The output directory must be visible to every worker: on several machines, a shared file system.
    StemsErrors of workers are raised here unchanged.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    own = connect()
    workers = (config.min_workers, config.workers) if config.min_workers else config.workers
    asked = place_workers(config, read_shapes(), fixed=own)

    def each_worker() -> None:
        import torch
        from ray import train as ray_train
        from ray.train.torch import get_device

        from pipelines.training.loop.preemption import PreemptionNotice
        from pipelines.training.loop.recipe import Place
        from pipelines.training.loop.worker import Worker

        context = ray_train.get_context()
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
        place = Place(context.get_world_rank(), context.get_world_size(), get_device())
        if _error_file(config).exists():
            return  # the error would only repeat: end normally, and save the other restarts
        try:
            with storage_errors(config.output):
                Worker(config, make_recipe, place, PreemptionNotice()).run()
        except StemsError as error:
            _write_error(config, error)
            if place.world > 1:
                raise  # the others may wait for this worker: Ray ends them

    trainer = TorchTrainer(
        each_worker,
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu="GPU" in asked, elastic_resize_monitor_interval_s=RESIZE_SECONDS
        ),
        run_config=RunConfig(
            name=config.name,
            storage_path=str(Path(config.output) / "ray"),
            failure_config=FailureConfig(max_failures=config.restarts),
        ),
    )
    _error_file(config).unlink(missing_ok=True)
    try:
        with _watch(config), watch({"a training worker": Want(asked)}):
            trainer.fit()
    finally:
        if _error_file(config).exists():
            raise StemsError(**json.loads(_error_file(config).read_text(encoding="utf-8")))


def place_workers(config: TrainingConfig, shapes: Sequence[NodeShape], *, fixed: bool) -> dict[str, float]:
    """The resources of each worker: a GPU if the cluster has any, else a CPU.

    Args:
        config: the training's configuration.
        shapes: shapes of the existing nodes, and of those that an autoscaler may start.
        fixed: whether no nodes can join later.

    Raises:
        StemsError: even the smallest number of workers cannot fit, now or later.
    """
    fewest = config.min_workers or config.workers
    asked = {"GPU": 1.0} if places(shapes, {"GPU": 1.0}, ever=True) else {"CPU": 1.0}
    if fixed or grows(shapes) or "GPU" in asked:
        check_all_fit(shapes, asked, fewest, "a training worker", "workers")
    else:
        check_fits(shapes, asked, "a training worker", "workers")
    return asked


def _error_file(config: TrainingConfig) -> Path:
    return RunDirectory.of(config).error


def _write_error(config: TrainingConfig, error: StemsError) -> None:
    """Write an error for the driver and later workers; the file appears complete."""
    said = {"message": error.message, "hint": error.hint, "code": error.code, "field": error.field}
    partial = _error_file(config).with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(said), encoding="utf-8")
    partial.replace(_error_file(config))


@contextmanager
def _watch(config: TrainingConfig) -> Iterator[None]:
    """Show the progress that the first worker writes to metrics.jsonl."""
    rows, over = RunDirectory.of(config).metrics, threading.Event()

    def look(bar: StepBar) -> None:
        while not over.wait(timeout=1.0):
            last = latest(read_history(rows))
            bar.at(last.get("step", 0), last.get("loss"))

    with StepBar(config.name, config.steps, 0, shown=True) as bar:
        watcher = threading.Thread(target=look, args=(bar,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
