"""A cluster's room for the job: what its workers take, and what is free."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import StemsError
from pipelines.tokens.config import TableJob

READ_CPUS = 0.5
"""What a task that inspects or fetches files takes."""

_MOST_ACTOR_CPUS = 4.0
_CPUS_AN_ACTOR = 4
# Of decoded audio: 48 kHz, two channels, float32; inspection holds it twice, separation about ten times.
BYTES_A_SECOND = 48_000 * 2 * 4
_READ_COPIES, _ACTOR_COPIES = 2, 12
_READ_SHARE, _ACTOR_SHARE = 0.15, 0.5
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
    read_memory: int


def plan_workers(config: TableJob, longest: float, cluster: Mapping[str, float], node_memory: float) -> Workers:
    """Share a cluster between inspection and the workers that hold the models.

    Args:
        config: of the job.
        longest: seconds of the longest song.
        cluster: Ray's resources: ``CPU``, ``GPU``.
        node_memory: bytes of the largest node: what one worker may ask for at most.

    Raises:
        StemsError: more workers are asked for than there are CPUs or GPUs.
    """
    cpus, gpus = cluster.get("CPU", 0.0), cluster.get("GPU", 0.0)
    per_gpu, per_cpu = config.gpus_per_actor, max(1, int(cpus) // _CPUS_AN_ACTOR)
    actors = config.actors or (int(gpus / per_gpu) if per_gpu else per_cpu)
    each = min(_MOST_ACTOR_CPUS, math.floor((cpus - READ_CPUS) / max(1, actors) * 10) / 10)
    if each < READ_CPUS or actors < 1 or actors * config.gpus_per_actor > gpus:
        raise StemsError(
            f"{actors} workers with {config.gpus_per_actor:g} GPUs each do not fit a cluster of {cpus:g} CPUs and "
            f"{gpus:g} GPUs.",
            "Lower actors or gpus_per_actor, or set RAY_ADDRESS to a larger cluster.",
            field="actors",
        )
    audio = longest * BYTES_A_SECOND
    return Workers(
        actors=actors,
        cpus=each,
        gpus=config.gpus_per_actor,
        actor_memory=int(min(audio * _ACTOR_COPIES, node_memory * _ACTOR_SHARE / actors)),
        read_memory=int(min(audio * _READ_COPIES, node_memory * _READ_SHARE)),
    )


def crowding(workers: Workers, free: Mapping[str, float]) -> str:
    """What the workers want that a cluster has not free at the moment; empty where there is room for all."""
    for name, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if free.get(name, 0.0) < each * workers.actors:
            return f"{workers.actors} workers want {each:g} {name}s each, and {free.get(name, 0.0):g} are free."
    return ""


def settle(config: TableJob, longest: float) -> Workers:
    """The workers of a job on the connected cluster; says so where they will have to wait for room.

    Raises what :func:`plan_workers` does.
    """
    import ray

    workers = plan_workers(config, longest, ray.cluster_resources(), _largest_node_memory(ray.nodes()))
    # Ray waits without a word.
    for _ in range(_SETTLING_LOOKS):
        crowded = crowding(workers, ray.available_resources())
        if not crowded:
            return workers
        time.sleep(_SETTLING_PAUSE)
    log.warning("%s Workers without room wait; `ray status` shows who holds what.", crowded)
    return workers


def _largest_node_memory(nodes: Sequence[dict[str, Any]]) -> float:
    return max((node["Resources"].get("memory", 0.0) for node in nodes if node["Alive"]), default=0.0)
