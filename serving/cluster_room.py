"""Whether the cluster has resources for the service: never, or not yet, in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from cluster.nodes import NodeShape
from cluster.placement import check_all_fit, check_fits, places
from serving.config import ServeConfig
from serving.ray_serve import App


def choose_gpus(config: ServeConfig, shapes: Sequence[NodeShape]) -> ServeConfig:
    """The settings with GPUs per copy of the model: as set, or as many as the nodes have for all copies.

    Args:
        config: of the service.
        shapes: of the nodes that are there.
    """
    if config.gpus_per_replica is not None:
        return config
    gpus = math.floor(places(shapes, {"GPU": 1.0}))
    share = 1 / math.ceil(config.most_replicas / gpus) if gpus else 0.0
    return config.model_copy(update={"gpus_per_replica": share})


def waiting_line(app: App, config: ServeConfig, free: Callable[[], Mapping[str, float]]) -> str:
    """Which copies of the model wait for resources, and which; empty if none waits.

    Args:
        app: the service's application.
        config: its settings.
        free: tells what no one uses on the cluster, as ``ray.available_resources``.
    """
    copies = app.copies.get("GeneratorReplica")
    if copies is None or not copies.unplaced:
        return ""
    cpus, gpus = config.cpus_per_replica, config.gpus_per_replica or 0.0
    there = free()
    wants = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    has = f"{there.get('CPU', 0.0):g} CPUs" + (f" and {there.get('GPU', 0.0):g} GPUs" if gpus else "")
    answering = "" if copies.running else " Nothing answers yet."
    return (
        f"{copies.unplaced} of {copies.wanted} copies of the model wait for room: each takes {wants} of one machine, "
        f"and on all machines together {has} are free.{answering}"
    )


def check_room(config: ServeConfig, shapes: Sequence[NodeShape], *, fixed: bool) -> None:
    """Raise StemsError if a copy of the model or a separator fits on no present or autoscaled node.

    Args:
        config: of the service.
        shapes: of the nodes.
        fixed: whether no other nodes will come; then all copies must fit.
    """
    gpus = config.gpus_per_replica or 0.0
    replica = {"CPU": config.cpus_per_replica, "GPU": gpus}
    gpus_short = gpus and not places(shapes, {"GPU": gpus}, ever=True)
    check_fits(shapes, replica, "a copy of the model", "gpus_per_replica" if gpus_short else "cpus_per_replica")
    check_fits(shapes, {"CPU": config.cpus_per_separator}, "a separator", "cpus_per_separator")
    if fixed:
        check_all_fit(shapes, replica, config.replicas, "a copy of the model", "replicas")
