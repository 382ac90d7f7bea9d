"""The Ray Data job: entries in, tokens out, one streaming pass.

Inspection runs in stateless tasks with few retries: a decoder that crashes takes a task with it, not the
models. The entries of a lost block are missing from the results; the caller runs them again one by one.
"""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from models.errors import StemsError
from pipelines.tokens.actor import TokenizerActor
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.inspect import Limits, inspect_files
from pipelines.tokens.tokenize import TokenizerSettings

_INSPECT_CPUS = 0.5
_MOST_ACTOR_CPUS = 4.0
_CPUS_AN_ACTOR = 4
_RETRIES = 1
_FOR_EVER = -1
# Of decoded audio: 48 kHz, two channels, float32; inspection holds it twice, separation about ten times.
_BYTES_A_SECOND = 48_000 * 2 * 4
_INSPECT_COPIES, _ACTOR_COPIES = 2, 12
_INSPECT_SHARE, _ACTOR_SHARE = 0.15, 0.5
# What has ended gives its resources back a moment later.
_SETTLING_LOOKS, _SETTLING_PAUSE = 20, 0.25

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """How many workers there are and what each takes: CPUs, GPUs, bytes of memory."""

    actors: int
    cpus: float
    gpus: float
    actor_memory: int
    inspect_memory: int


def run_stream(
    entries: Sequence[str],
    config: PrepareConfig,
    limits: Limits,
    known: Mapping[str, str],
    settings: TokenizerSettings,
    songs_per_block: int,
) -> Iterator[dict[str, Any]]:
    """Results (:data:`pipelines.tokens.actor.TOKENIZED`) in the order of the entries; lost ones are left out.

    Args:
        entries: JSON of each catalog entry.
        config: of the job.
        limits: what a song may be.
        known: uri of each song that the table has.
        settings: of the workers that hold the models.
        songs_per_block: files that are read by one task.

    Raises:
        StemsError: the cluster is too small.
    """
    import ray

    workers = plan_workers(config, ray.cluster_resources(), _largest_node_memory(ray.nodes()))
    _warn_if_crowded(workers)
    # Blocks are cut here: a repartition would be one more stage, whose tasks want a whole CPU.
    table = pa.table({"entry": list(entries)})
    blocks = [table.slice(start, songs_per_block) for start in range(0, len(table), songs_per_block)]
    with ray.data.DataContext.current(_quiet_context(ray.data.DataContext.get_current().copy())):
        songs = _pipeline(blocks, partial(inspect_files, limits=limits, known=known), settings, workers)
        for batch in songs.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()


def _pipeline(
    blocks: list[pa.Table], inspect: Callable[[pa.Table], pa.Table], settings: TokenizerSettings, workers: Workers
) -> Any:
    """The stages as a lazy Ray dataset."""
    import ray

    with warnings.catch_warnings():
        # The options of retries have no other place yet.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        return (
            ray.data.from_arrow(blocks)
            .map_batches(
                inspect,
                batch_format="pyarrow",
                batch_size=None,
                num_cpus=_INSPECT_CPUS,
                memory=workers.inspect_memory,
                max_retries=_RETRIES,
            )
            .map_batches(
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
        )


def plan_workers(config: PrepareConfig, cluster: dict[str, float], node_memory: float) -> Workers:
    """Share a cluster between inspection and the workers that hold the models.

    Args:
        config: of the job.
        cluster: Ray's resources: ``CPU``, ``GPU``.
        node_memory: bytes of the largest node: what one worker may ask for at most.

    Raises:
        StemsError: more workers are asked for than there are CPUs or GPUs.
    """
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    per_gpu, per_cpu = config.gpus_per_actor, max(1, int(cpus) // _CPUS_AN_ACTOR)
    actors = config.actors or (int(gpus / per_gpu) if per_gpu else per_cpu)
    each = min(_MOST_ACTOR_CPUS, math.floor((cpus - _INSPECT_CPUS) / max(1, actors) * 10) / 10)
    if each < _INSPECT_CPUS or actors < 1 or actors * config.gpus_per_actor > gpus:
        raise StemsError(
            f"{actors} workers with {config.gpus_per_actor:g} GPUs each do not fit a cluster of {cpus:g} CPUs and "
            f"{gpus:g} GPUs.",
            "Lower actors or gpus_per_actor, or set RAY_ADDRESS to a larger cluster.",
            field="actors",
        )
    audio = config.max_seconds * _BYTES_A_SECOND
    return Workers(
        actors=actors,
        cpus=each,
        gpus=config.gpus_per_actor,
        actor_memory=int(min(audio * _ACTOR_COPIES, node_memory * _ACTOR_SHARE / actors)),
        inspect_memory=int(min(audio * _INSPECT_COPIES, node_memory * _INSPECT_SHARE)),
    )


def crowding(workers: Workers, free: Mapping[str, float]) -> str:
    """What the workers want that a cluster has not free at the moment; empty where there is room for all."""
    for name, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if free.get(name, 0.0) < each * workers.actors:
            return f"{workers.actors} workers want {each:g} {name}s each, and {free.get(name, 0.0):g} are free."
    return ""


def _warn_if_crowded(workers: Workers) -> None:
    """Ray waits without a word until there is room."""
    import ray

    for _ in range(_SETTLING_LOOKS):
        crowded = crowding(workers, ray.available_resources())
        if not crowded:
            return
        time.sleep(_SETTLING_PAUSE)
    log.warning("%s Workers without room wait; `ray status` shows who holds what.", crowded)


def start_ray() -> None:
    """Connect to the cluster of ``RAY_ADDRESS``, or start a local one; nothing where there is one already."""
    import ray

    if not ray.is_initialized():
        ray.init(ignore_reinit_error=True, log_to_driver=False, logging_level=logging.WARNING)


def _quiet_context(context: Any) -> Any:
    """Order kept (of equal songs the first wins), lost blocks passed over, our own progress bar alone."""
    context.execution_options.preserve_order = True
    context.max_errored_blocks = -1
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = _FOR_EVER  # a batch of long songs may take an hour on CPUs
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    return context


def _largest_node_memory(nodes: Sequence[dict[str, Any]]) -> float:
    return max((node["Resources"].get("memory", 0.0) for node in nodes if node["Alive"]), default=0.0)
