"""Independent trainings, each in a Ray task with its own core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from cluster.connect import connect
from pipelines.training.config import TrainingConfig
from pipelines.training.loop.train import TrainingResult
from pipelines.training.tracking.history import read_history

Job = tuple[TrainingConfig, Callable[[], TrainingResult]]


def run_side_by_side(jobs: Sequence[Job]) -> list[TrainingResult]:
    """Run trainings as Ray tasks, as many at once as there are cores; results in order.

    An error of one of them is raised here.
    """
    import ray

    connect()
    # A training that is killed is not run again here: the next demo goes on with it.
    task = ray.remote(num_cpus=1, max_retries=0)(_run)
    waiting = {task.remote(work): config for config, work in jobs}
    results, console = list(waiting), Console(stderr=True)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), disable=not console.is_terminal) as bars:
        bar = {reference: bars.add_task(config.name, total=config.steps) for reference, config in waiting.items()}
        unfinished = results
        while unfinished:
            done, unfinished = ray.wait(unfinished, timeout=2.0)
            ray.get(done)
            for reference, config in waiting.items():
                bars.update(bar[reference], completed=_steps_done(config))
    return list(ray.get(results))


def _run(work: Callable[[], TrainingResult]) -> TrainingResult:
    return work()


def _steps_done(config: TrainingConfig) -> int:
    history = read_history(Path(config.output) / "metrics.jsonl")
    return int(history[-1]["step"]) if history else 0
