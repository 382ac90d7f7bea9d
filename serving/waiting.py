"""Room for a service on its cluster: what can never be had, and what is waited for, in one line."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.errors import StemsError
from serving.config import ServeConfig
from serving.on_serve import App

_FIRST, _EVERY = 20.0, 60.0


class Reminder:
    """Is due after 20 s, and then every minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + _FIRST

    def due(self) -> bool:
        """Whether it is time to say it; the time of the next one begins here."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + _EVERY
        return True


def waiting_line(app: App, config: ServeConfig, free: Callable[[], Mapping[str, float]]) -> str:
    """Which copies of the model have no room, and what they need; empty where all have some.

    Args:
        app: the service's application.
        config: its settings.
        free: tells what no one uses on the cluster, as ``ray.available_resources``.
    """
    copies = app.copies.get("Generator")
    if copies is None or not copies.unplaced:
        return ""
    cpus, gpus = config.cpus_per_replica, config.gpus_per_replica
    there = free()
    wants = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
    has = f"{there.get('CPU', 0.0):g} CPUs" + (f" and {there.get('GPU', 0.0):g} GPUs" if gpus else "")
    answering = "" if copies.running else " Nothing answers yet."
    return (
        f"{copies.unplaced} of {copies.wanted} copies of the model wait for room: each takes {wants} of one machine, "
        f"and on all machines together {has} are free.{answering}"
    )


def check_fits(config: ServeConfig, nodes: Sequence[Mapping[str, Any]]) -> None:
    """StemsError where one copy of the model, or a separator, wants more than any machine has.

    Args:
        config: of the service.
        nodes: the machines, as ``ray.nodes`` gives them.
    """
    for setting, resource in (
        ("gpus_per_replica", "GPU"),
        ("cpus_per_replica", "CPU"),
        ("cpus_per_separator", "CPU"),
    ):
        wanted = float(getattr(config, setting))
        largest = max((node["Resources"].get(resource, 0.0) for node in nodes if node["Alive"]), default=0.0)
        if wanted > largest:
            raise StemsError(
                f"--{setting} {wanted:g} is more than there is: the largest machine has {largest:g} {resource}s.",
                f"Lower --{setting}, or set RAY_ADDRESS to a cluster with such machines.",
                code="too_large",
                field=setting,
            )
