"""Streams through Ray Data: lines of JSON in, rows out, whatever dies on the way.

A worker that is killed, or that a file crashes, loses the rows of a block. They are missing from the results, and run
again, each in a block of its own; a line that is lost alone several times is to blame itself.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import pyarrow as pa

from models.errors import StemsError
from pipelines.tokens.actor import TokenizerActor
from pipelines.tokens.cluster import READ_CPUS, Workers
from pipelines.tokens.tokenize import TokenizerSettings

ALONE = 3
"""Times that a line runs in a block of its own before it is given up."""

_FEW = 8
"""Lines of which one at least comes to an end, unless it is the cluster that is broken."""

_AT_ONCE = 16_384
"""Lines that one stream is given: Ray Data keeps something of each until its end."""

_BROKEN_STREAMS = 8
"""Streams in a row that may break without a result."""

_RETRIES = 1
_FOR_EVER = -1

Row = dict[str, Any]
Dataset = Any
Stages = Callable[[list[pa.Table]], Dataset]
T = TypeVar("T")

log = logging.getLogger(__name__)


def run_rounds(
    lines: Mapping[str, str], stream: Callable[[list[str], int], Iterable[tuple[str, T]]], block: int
) -> Iterator[tuple[str, T]]:
    """Results by key, each once; a key that was lost alone :data:`ALONE` times is left out, with a warning.

    Args:
        lines: what to work on, by key.
        stream: gives results by key for lines, so many in a block; some may be missing, and it may break.
        block: lines that share a block at first.

    Raises:
        StemsError: the stream broke again and again without a result, or not one of several lines came to an end.
    """
    keys = list(lines)
    for start in range(0, len(keys), _AT_ONCE):
        yield from _rounds({key: lines[key] for key in keys[start : start + _AT_ONCE]}, stream, block)


def _rounds(
    lines: Mapping[str, str], stream: Callable[[list[str], int], Iterable[tuple[str, T]]], block: int
) -> Iterator[tuple[str, T]]:
    missing, size, alone, broken = dict(lines), block, 0, 0
    while missing and alone < ALONE:
        before, whole = len(missing), True
        try:
            for key, result in stream(list(missing.values()), size):
                if missing.pop(key, None) is not None:
                    yield key, result
        except Exception as error:
            if not _is_ray_failure(error):
                raise
            whole = False
            log.warning("The job's stream broke; it goes on with what is left. %s: %s", type(error).__name__, error)
        broken = 0 if whole or len(missing) < before else broken + 1
        alone += whole and size == 1
        size = 1 if whole else size
        if broken >= _BROKEN_STREAMS:
            raise _cluster_fails(f"lost the job {broken} times in a row without finishing one file")
    if len(missing) == len(lines) >= _FEW:
        raise _cluster_fails(f"finished none of {len(lines)} files, each of which was tried alone {ALONE} times")


def _cluster_fails(what: str) -> StemsError:
    return StemsError(
        f"The cluster {what}.",
        "Look at `ray status` and at the workers' logs; run the same command to go on.",
        code="cluster",
    )


def inspection(task: Callable[[pa.Table], pa.Table], memory: int) -> Stages:
    """The one stage of the first phase: stateless tasks, so that a decoder that crashes takes no models with it."""

    def stages(blocks: list[pa.Table]) -> Dataset:
        return _tasks(_source(blocks), task, memory)

    return stages


def tokenizing(task: Callable[[pa.Table], pa.Table], settings: TokenizerSettings, workers: Workers) -> Stages:
    """The stages of the second phase: files' bytes are fetched by tasks, ahead of workers that hold the models."""
    import ray

    def stages(blocks: list[pa.Table]) -> Dataset:
        fetched = _tasks(_source(blocks), task, workers.read_memory)
        return fetched.map_batches(
            TokenizerActor,
            fn_constructor_args=(settings,),
            batch_format="pyarrow",
            batch_size=max(len(block) for block in blocks),
            compute=ray.data.ActorPoolStrategy(size=workers.actors),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            memory=workers.actor_memory,
            # A batch that crashes its worker is given up; the worker itself always comes back, since Ray
            # Data waits for ever for a pool that has died.
            max_restarts=_FOR_EVER,
            max_task_retries=_RETRIES,
        )

    return stages


def read_stream(stages: Stages, column: str, lines: list[str], block: int) -> Iterator[Row]:
    """Results as they come, for lines that the stages find in a column of that name."""
    import ray

    # Blocks are cut here, and put where they are: from_arrow and repartition would start tasks that want a whole CPU.
    table = pa.table({column: lines})
    blocks = [table.slice(start, block) for start in range(0, len(table), block)]
    with ray.data.DataContext.current(_quiet_context(ray.data.DataContext.get_current().copy())):
        with warnings.catch_warnings():
            # The options of retries have no other place yet.
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            rows = stages(blocks)
        for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()


def _source(blocks: list[pa.Table]) -> Dataset:
    import ray

    return ray.data.read_api.from_blocks(blocks)


def _tasks(data: Dataset, task: Callable[[pa.Table], pa.Table], memory: int) -> Dataset:
    return data.map_batches(
        task, batch_format="pyarrow", batch_size=None, num_cpus=READ_CPUS, memory=memory, max_retries=_RETRIES
    )


def _is_ray_failure(error: Exception) -> bool:
    """Whether Ray lost something, rather than our code failing."""
    import ray

    return isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError)


def _quiet_context(context: Any) -> Any:
    """Lost blocks passed over, our own progress bar alone."""
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = _FOR_EVER  # a batch of long songs may take an hour on CPUs
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return context
