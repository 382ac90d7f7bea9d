"""Run lines of JSON through Ray Data, with retries: rows come out, even if workers die on the way.

A worker that is killed, or that a file crashes, loses the rows of a block. They are missing from the results and run
again, each in a block of its own. A line is given up if it was lost while nothing else ran and the cluster worked.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import pyarrow as pa

from cluster.waiting import Want
from models.errors import StemsError
from pipelines.tokens.encode.actor import TokenizerActor
from pipelines.tokens.encode.tokenize import TokenizerSettings
from pipelines.tokens.run.lost_blocks import Loss, is_ray_failure, watch_losses
from pipelines.tokens.run.workers import Workers
from pipelines.tokens.songs.work import PROBE

ISOLATED_TRIES = 3
"""Times that a line runs in a block of its own before it is given up; the last time, nothing else runs."""

_FEW = 8
"""Of so many lines, at least one succeeds unless the cluster is broken."""

_AT_ONCE = 16_384
"""Lines per stream: Ray Data keeps some memory for each until the stream ends."""

_BROKEN_STREAMS = 8
"""Streams in a row that may break without any result."""

_DEAD_ROUNDS = 3
"""Rounds in a row in which a cluster may finish nothing at all."""

_RETRIES = 1
_FOR_EVER = -1

Row = dict[str, Any]
Dataset = Any
Stages = Callable[[list[pa.Table]], Dataset]
NodeLoss = AbstractContextManager[Callable[[], bool]]
"""A context around each round; what it gives says whether a node was lost meanwhile."""

_ONE_NODE: NodeLoss = nullcontext(lambda: False)

T = TypeVar("T")
Stream = Callable[[list[str], int], Iterable[tuple[str, T]]]
Watching = Callable[[], AbstractContextManager[list[Loss]]]

log = logging.getLogger(__name__)


def run_with_retries(
    lines: Mapping[str, str],
    stream: Stream[T],
    block: int,
    lost_nodes: NodeLoss = _ONE_NODE,
    watching: Watching = watch_losses,
) -> Iterator[tuple[str, T]]:
    """Yield results by key, each once; a key that was lost in isolation :data:`ISOLATED_TRIES` times is left out.

    A line counts as lost by its own fault only where its own worker died while nothing else ran, no node was lost,
    and the cluster did its work on a probe right after it.

    Args:
        lines: the lines, by key.
        stream: yields results by key, given lines and the lines per block; results may be missing, and it may break.
            For :data:`pipelines.tokens.songs.work.PROBE` it yields a result with that key.
        block: lines per block at first.
        lost_nodes: reports for each round whether a node was lost; then no line is to blame for missing results.
        watching: collects Ray's errors about lost blocks.

    Raises:
        StemsError: the stream broke again and again without a result, the cluster fails even on a probe, or none of
            several lines succeeded.
    """
    keys = list(lines)
    for start in range(0, len(keys), _AT_ONCE):
        some = {key: lines[key] for key in keys[start : start + _AT_ONCE]}
        yield from _Rounds(some, stream, lost_nodes, watching).run(block)


class _Rounds:
    """Runs the same lines in rounds until each has a result or is given up."""

    def __init__(
        self, lines: Mapping[str, str], stream: Stream[Any], lost_nodes: NodeLoss, watching: Watching
    ) -> None:
        self._stream, self._lost_nodes, self._watching = stream, lost_nodes, watching
        self._missing, self._count = dict(lines), len(lines)
        self._broken = self._dead = 0
        self._losses: list[Loss] = []
        self._said = "it gives no reason"

    def run(self, block: int) -> Iterator[tuple[str, Any]]:
        size, alone = block, 0
        while self._missing and alone < ISOLATED_TRIES - 1:
            before = len(self._missing)
            with self._lost_nodes as lost_one:
                whole = yield from self._round(list(self._missing), size)
                blameless = bool(self._missing) and (size == 1 or not whole) and lost_one()
            if self._missing and len(self._missing) == before and not blameless:
                self._check_cluster(whole)
            else:
                self._broken = self._dead = 0
            alone += whole and size == 1 and not blameless
            size = 1 if whole and not blameless else size
        if len(self._missing) == self._count >= _FEW:
            raise _cluster_fails(f"finished none of {self._count} files, each of which was tried alone: {self._said}")
        yield from self._one_by_one()

    def _one_by_one(self) -> Iterator[tuple[str, Any]]:
        """Run each line with nothing beside it; a line lost then is given up, if the cluster is not at fault."""
        for _ in range(_DEAD_ROUNDS):
            blamed = 0
            with self._lost_nodes as lost_one:
                for key in list(self._missing):
                    whole = yield from self._round([key], 1)
                    blamed += key in self._missing and whole and _own_fault(self._losses)
                if not self._missing or (blamed == len(self._missing) and self._works() and not lost_one()):
                    return
        raise _cluster_fails(f"could not work on {len(self._missing)} files: {self._said}")

    def _round(self, keys: list[str], size: int) -> Generator[tuple[str, Any], None, bool]:
        """Yield the results of some lines; return whether the stream ended normally."""
        with self._watching() as self._losses:
            try:
                for key, result in self._stream([self._missing[key] for key in keys], size):
                    if self._missing.pop(key, None) is not None:
                        yield key, result
            except Exception as error:
                if not is_ray_failure(error):
                    raise
                self._losses.append(Loss.of(error))
                log.warning(
                    "The job's stream broke; it goes on with what is left. %s: %s", type(error).__name__, error
                )
                return False
            finally:
                self._said = self._losses[-1].said if self._losses else self._said
        return True

    def _check_cluster(self, whole: bool) -> None:
        """After a round without results: raise if the cluster has done nothing for too long."""
        self._broken = 0 if whole else self._broken + 1
        self._dead = self._dead + 1 if whole and not self._works() else 0
        if self._broken >= _BROKEN_STREAMS:
            raise _cluster_fails(
                f"lost the job {self._broken} times in a row without finishing one file: {self._said}"
            )
        if self._dead >= _DEAD_ROUNDS:
            raise _cluster_fails(f"does no work: {self._said}")

    def _works(self) -> bool:
        """Whether a probe passes all stages."""
        try:
            return any(key == PROBE for key, _ in self._stream([PROBE], 1))
        except Exception as error:
            if not is_ray_failure(error):
                raise
            return False


def _own_fault(losses: list[Loss]) -> bool:
    return bool(losses) and all(loss.own for loss in losses)


def _cluster_fails(what: str) -> StemsError:
    return StemsError(
        f"The cluster {what}.",
        "Look at `ray status` and at the workers' logs; no file was put in quarantine for it. "
        "Run the same command to go on.",
        code="cluster",
    )


def inspection(task: Callable[[pa.Table], pa.Table], workers: Workers) -> Stages:
    """The one stage of the first phase: stateless tasks, so that a crashing decoder takes no models with it."""

    def stages(blocks: list[pa.Table]) -> Dataset:
        return _tasks(_source(blocks), task, workers)

    return stages


def tokenizing(task: Callable[[pa.Table], pa.Table], settings: TokenizerSettings, workers: Workers) -> Stages:
    """The stages of the second phase: tasks fetch files ahead of the actors that hold the models."""
    import ray

    def stages(blocks: list[pa.Table]) -> Dataset:
        fetched, at_first = _tasks(_source(blocks), task, workers), min(workers.actors, len(blocks))
        return fetched.map_batches(
            TokenizerActor,
            fn_constructor_args=(settings,),
            batch_format="pyarrow",
            batch_size=max(len(block) for block in blocks),
            # More actors start when nodes join, but never more than there are blocks.
            compute=ray.data.ActorPoolStrategy(
                min_size=at_first, max_size=min(workers.most, len(blocks)), initial_size=at_first
            ),
            num_cpus=workers.cpus,
            num_gpus=workers.gpus,
            memory=workers.actor_memory,
            resources=dict(workers.custom),
            # The actor always comes back, since Ray Data waits for ever for a pool that has died. A batch that was
            # on it is lost and runs in the next round: Ray would try it on this actor again, which may find no
            # place while its node is away.
            max_restarts=_FOR_EVER,
            max_task_retries=0,
        )

    return stages


def wants(workers: Workers) -> dict[str, Want]:
    """The resources that the second phase waits for, to be watched."""
    return {
        "an actor that holds the models": Want(workers.actor, lambda: _living_actors() >= workers.actors),
        "a task that fetches files": Want(workers.read),
    }


def _living_actors() -> int:
    import ray
    from ray._private.state import actors

    job = ray.get_runtime_context().get_job_id()
    found = actors(actor_state_name="ALIVE").values()
    return sum(each["JobID"] == job and TokenizerActor.__name__ in each["ActorClassName"] for each in found)


def read_stream(stages: Stages, column: str, lines: list[str], block: int) -> Iterator[Row]:
    """Yield results as they come, for lines in a column of this name."""
    import ray

    # Blocks are cut here, and put where they are: from_arrow and repartition would start tasks that want a whole CPU.
    table = pa.table({column: lines})
    blocks = [table.slice(start, block) for start in range(0, len(table), block)]
    with ray.data.DataContext.current(_quiet_context(ray.data.DataContext.get_current().copy())):
        with warnings.catch_warnings():
            # Retries can be set only through these options.
            warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
            rows = stages(blocks)
        for batch in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()


def _source(blocks: list[pa.Table]) -> Dataset:
    import ray

    return ray.data.read_api.from_blocks(blocks)


def _tasks(data: Dataset, task: Callable[[pa.Table], pa.Table], workers: Workers) -> Dataset:
    return data.map_batches(
        task,
        batch_format="pyarrow",
        batch_size=None,
        num_cpus=workers.read_cpus,
        memory=workers.read_memory,
        max_retries=_RETRIES,
    )


def _quiet_context(context: Any) -> Any:
    """Pass over lost blocks, and show no progress bars but our own."""
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = _FOR_EVER  # a batch of long songs may take an hour on CPUs
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return context
