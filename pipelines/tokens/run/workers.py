"""Plan the workers of a table job, node by node: how many actors hold models, and the size of actors and tasks.

Room that a cluster has in total may not fit on any one node. So actors are sized such that a node packed full of them
still has room for a task that feeds them, wherever Ray puts them. All of it is pure functions of the nodes' shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.nodes import NodeShape, describe, grows
from cluster.placement import check_fits, places, room
from models.errors import StemsError
from pipelines.tokens.config import TableJob

READ_CPUS = 0.5
"""CPUs of a task that inspects or fetches files, if nodes have more than one CPU."""

BYTES_A_SECOND = 48_000 * 2 * 4
"""Of decoded audio: 48 kHz, two channels, float32; inspection holds it twice, separation about ten times."""

_READ_COPIES, _ACTOR_COPIES = 2, 12
_READ_SHARE, _ACTOR_SHARE = 0.15, 0.5
_STEP = 0.01
_LEAST_CPUS, _LEAST_CPUS_BESIDE_GPU = 0.5, 0.1
_ENDLESS = 10_000
"""Nodes to plan for if an autoscaler names no limit."""


@dataclass(frozen=True)
class Workers:
    """The resources that a job asks the cluster for.

    Args:
        actors: actors that hold the models, at the start.
        most: actors when more nodes join.
        cpus: CPUs per actor.
        gpus: GPUs per actor.
        custom: custom resources per actor.
        threads: CPU threads per actor.
        actor_memory: bytes per actor.
        read_cpus: CPUs per task that inspects or fetches files.
        read_memory: bytes per such task.
    """

    actors: int
    most: int
    cpus: float
    gpus: float
    threads: int
    actor_memory: int
    read_cpus: float
    read_memory: int
    custom: Mapping[str, float] = field(default_factory=dict)

    @property
    def actor(self) -> dict[str, float]:
        """Resources of one actor, by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self.actor_memory, **self.custom}

    @property
    def read(self) -> dict[str, float]:
        """Resources of one task that reads files, by Ray's names."""
        return {"CPU": self.read_cpus, "memory": self.read_memory}

    def __str__(self) -> str:
        """In words, for a report."""
        taken = describe({"CPU": self.cpus, "GPU": self.gpus, **self.custom})
        return f"{self.actors} × ({taken}, {self.threads} threads)"


@dataclass(frozen=True)
class Packing:
    """A cluster whose nodes are full of actors.

    Args:
        actors: actors on all nodes.
        tasks: tasks that read files and fit beside the actors.
        busy: CPU threads of actors that have a CPU each.
        starving: nodes with actors but without room for a task.
    """

    actors: float
    tasks: float
    busy: float
    starving: float


def plan_workers(config: TableJob, longest: float, shapes: Sequence[NodeShape]) -> Workers:
    """Size and count the workers of a job for a cluster's nodes.

    Args:
        config: of the job.
        longest: seconds of the longest song.
        shapes: of the present nodes, and of those that an autoscaler may start.

    Raises:
        StemsError: ``unplaceable``: an actor or a task fits no present or possible node, or there is no room for the
            number of actors asked for.
    """
    hosts = [shape for shape in shapes if _can_host(shape, config)]
    _check(config, shapes)
    read_cpus = _read_cpus(shapes)
    memory = _memory(config, longest, shapes, hosts)
    best = max(
        _candidates(config, read_cpus, *memory), key=lambda workers: _worth(workers, hosts, shapes, config.actors)
    )
    now, ever = pack(best, shapes), pack(best, shapes, ever=True)
    if not ever.tasks:
        raise StemsError(
            f"Beside an actor of {describe(best.actor)}, no node has room for a task that reads files "
            f"({describe(best.read)}).",
            "Give the nodes more CPUs, or set RAY_ADDRESS to a larger cluster.",
            code="unplaceable",
            field="actors",
        )
    capacity = int(min(ever.actors, _ENDLESS))
    if config.actors > capacity:
        raise StemsError(
            f"There is room for {capacity} of {config.actors} actors of {describe(best.actor)} on the nodes.",
            "Lower actors or gpus_per_actor, or set RAY_ADDRESS to a larger cluster.",
            code="unplaceable",
            field="actors",
        )
    actors = config.actors or max(1, int(now.actors))
    # Nodes may also be added by hand, without an autoscaler.
    most = config.actors or (capacity if grows(shapes) else _ENDLESS)
    return _workers(best, actors, max(actors, most))


def pack(workers: Workers, shapes: Sequence[NodeShape], *, ever: bool = False) -> Packing:
    """Fill each node with actors, as Ray may do, and count the room left.

    Args:
        workers: sizes of actors and tasks.
        shapes: of the nodes.
        ever: also fill nodes that an autoscaler may still start.
    """
    actors = tasks = busy = starving = 0.0
    for shape in shapes:
        nodes = min(shape.most, _ENDLESS) if ever else shape.count
        here = room(shape.resources, workers.actor)
        left = {name: amount - here * workers.actor.get(name, 0.0) for name, amount in shape.resources.items()}
        beside = room(left, workers.read)
        actors, tasks = actors + nodes * here, tasks + nodes * beside
        busy += nodes * min(here * workers.threads, shape.resources.get("CPU", 0.0))
        starving += nodes * (here > 0 and beside == 0)
    return Packing(actors, tasks, busy, starving)


def _worth(
    workers: Workers, hosts: Sequence[NodeShape], shapes: Sequence[NodeShape], wanted: int
) -> tuple[float, ...]:
    """A key to compare sizes of actors: the better size has the larger key."""
    full = pack(workers, hosts, ever=True)
    feeds = pack(workers, shapes, ever=True).tasks
    enough = min(full.actors, wanted) if wanted else 0.0
    return (
        float(full.actors > 0 and feeds > 0),
        enough,
        -full.starving,
        # A given number of actors needs no more; otherwise use as many GPUs, or threads, as possible.
        0.0 if wanted else (full.actors if workers.gpus else full.busy),
        workers.cpus,
    )


def _candidates(config: TableJob, read_cpus: float, actor_memory: int, read_memory: int) -> Iterator[Workers]:
    least = _LEAST_CPUS_BESIDE_GPU if config.gpus_per_actor else _LEAST_CPUS
    for step in range(round(config.threads / _STEP), 0, -1):
        cpus = round(step * _STEP, 2)
        if cpus < least:
            return
        yield Workers(
            actors=0,
            most=0,
            cpus=cpus,
            gpus=config.gpus_per_actor,
            threads=config.threads,
            actor_memory=actor_memory,
            read_cpus=read_cpus,
            read_memory=read_memory,
            custom=config.resources_per_actor,
        )


def _workers(size: Workers, actors: int, most: int) -> Workers:
    return Workers(**{**vars(size), "actors": actors, "most": most})


def _least(config: TableJob) -> dict[str, float]:
    """The least resources of one actor."""
    cpus = _LEAST_CPUS_BESIDE_GPU if config.gpus_per_actor else _LEAST_CPUS
    return {"CPU": cpus, "GPU": config.gpus_per_actor, **config.resources_per_actor}


def _can_host(shape: NodeShape, config: TableJob) -> bool:
    return shape.most > 0 and room(shape.resources, _least(config)) > 0


def _check(config: TableJob, shapes: Sequence[NodeShape]) -> None:
    """Refuse resources that no node can have, naming the setting that asks for them."""
    field = "actors"
    if config.gpus_per_actor and not places(shapes, {"GPU": config.gpus_per_actor}, ever=True):
        field = "gpus_per_actor"
    elif config.resources_per_actor and not places(shapes, config.resources_per_actor, ever=True):
        field = "resources_per_actor"
    check_fits(shapes, _least(config), "an actor", field)
    check_fits(shapes, {"CPU": _read_cpus(shapes)}, "a task that reads files", "actors")


def _read_cpus(shapes: Sequence[NodeShape]) -> float:
    """CPUs of a task that reads: less than half a CPU if no node has more than one."""
    largest = max((shape.resources.get("CPU", 0.0) for shape in shapes), default=0.0)
    return READ_CPUS if largest > 1 else 0.4


def _memory(
    config: TableJob, longest: float, shapes: Sequence[NodeShape], hosts: Sequence[NodeShape]
) -> tuple[int, int]:
    """Bytes of an actor and of a task that reads: enough for the longest song, within what nodes have."""
    audio = max(longest, 1.0) * BYTES_A_SECOND
    readers = [shape.resources.get("memory", math.inf) for shape in shapes if shape.resources.get("CPU", 0.0) > 0]
    smallest = min(shape.resources.get("memory", math.inf) for shape in hosts)
    read = min(audio * _READ_COPIES, _READ_SHARE * min(readers, default=math.inf))
    actor = min(audio * _ACTOR_COPIES, _ACTOR_SHARE * smallest)
    if math.isfinite(smallest):
        # The actors that fit beside a task share what it leaves, so that no further actor can take its place.
        actor = (smallest - read) / max(1, math.floor((smallest - read) / actor))
    return int(actor), int(read)
