"""What the nodes of the connected cluster have, and what nodes an autoscaler may still start."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ALWAYS = ("object_store_memory",)
"""Resources that Ray adds to each node and that nothing here asks for."""

_NO_LIMIT = -1


@dataclass(frozen=True)
class NodeShape:
    """Nodes that have the same resources.

    Args:
        resources: of one node, by Ray's names: ``CPU``, ``GPU``, ``memory`` in bytes, custom ones.
        count: nodes of this shape that are there.
        more: nodes of this shape that an autoscaler may still start; ``inf`` for any number.
    """

    resources: Mapping[str, float]
    count: int = 1
    more: float = 0.0

    @property
    def most(self) -> float:
        """Nodes of this shape that there may ever be."""
        return self.count + self.more


def read_shapes() -> tuple[NodeShape, ...]:
    """The shapes of the connected cluster's nodes, and of those that its autoscaler may start."""
    import ray
    from ray._private.state import state  # the one place where Ray tells its autoscaler's node types

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    config = state.get_cluster_config()
    groups = config.node_group_configs if config else ()
    return shapes(alive, [(dict(group.resources), group.max_count) for group in groups])


def own_shapes() -> tuple[NodeShape, ...]:
    """The shape of the one node of a Ray that is started on this machine, before it is."""
    from ray._private.accelerators import get_accelerator_manager_for_resource
    from ray._private.utils import get_num_cpus

    gpus = get_accelerator_manager_for_resource("GPU").get_current_node_num_accelerators()
    return (NodeShape({"CPU": float(get_num_cpus()), "GPU": float(gpus)}),)


def addresses() -> dict[str, str]:
    """Addresses of the connected cluster's nodes that are alive, by their ids."""
    import ray

    return {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def shapes(
    alive: Iterable[Mapping[str, float]], types: Iterable[tuple[Mapping[str, float], int]] = ()
) -> tuple[NodeShape, ...]:
    """Group nodes by what they have.

    Args:
        alive: resources of each node that is there.
        types: resources of each node type of an autoscaler, and how many nodes of it there may be at most (-1 for
            any number).
    """
    counts = Counter(_plain(resources) for resources in alive)
    limits = {_plain(resources): _NO_LIMIT if most < 0 else most for resources, most in types}
    found = []
    for resources in dict.fromkeys((*counts, *limits)):
        most = limits.get(resources, 0)
        more = math.inf if most == _NO_LIMIT else max(0, most - counts[resources])
        if counts[resources] or more:
            found.append(NodeShape(dict(resources), counts[resources], more))
    return tuple(found)


def grows(found: Iterable[NodeShape]) -> bool:
    """Whether an autoscaler may add nodes."""
    return any(shape.more for shape in found)


def describe(resources: Mapping[str, float], *, zeros: bool = False) -> str:
    """``{"CPU": 2.0, "memory": 4e9}`` -> ``2 CPUs, 4.0 GB of memory``; what is 0 only where asked for."""
    names = {"CPU": "CPUs", "GPU": "GPUs"}
    words = [
        f"{amount / 1e9:.1f} GB of memory" if name == "memory" else f"{amount:g} {names.get(name, name)}"
        for name, amount in resources.items()
        if amount or zeros
    ]
    return ", ".join(words) or "nothing"


def _plain(resources: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    """What a node offers to work, in a fixed order; Ray marks each node with resources of its own."""
    own = {name: float(amount) for name, amount in resources.items() if name not in ALWAYS and ":" not in name}
    return tuple(sorted(own.items()))
