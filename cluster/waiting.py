"""Reports requests of a job that wait for resources: first after 20 s, then once per minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.nodes import describe

FIRST_S, EVERY_S = 20.0, 60.0


class Reminder:
    """Is due after 20 s, and then every minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock() + FIRST_S

    def due(self) -> bool:
        """Whether it is time to say it; the time of the next one begins here."""
        if self._clock() < self._next:
            return False
        self._next = self._clock() + EVERY_S
        return True


@dataclass(frozen=True)
class Demand:
    """Requests for resources that wait for a node, all of one shape."""

    asked: Mapping[str, float]
    count: int


@dataclass(frozen=True)
class ClusterState:
    """What waits on a cluster, and what is free on each of its nodes."""

    pending: Sequence[Demand]
    free: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Want:
    """What a job asks for.

    Args:
        asked: resources of one copy.
        served: whether it has as many as it was planned with. A job may ask for more, in case that nodes come.
    """

    asked: Mapping[str, float]
    served: Callable[[], bool] = lambda: False


@dataclass
class Waiting:
    """Decides what to say; pure but for its clock.

    Args:
        wants: by the name of whatever asks for it, such as ``an actor``.
        clock: in seconds.
    """

    wants: Mapping[str, Want]
    clock: Callable[[], float] = time.monotonic
    _reminders: dict[str, Reminder] = field(default_factory=dict)

    def look(self, state: ClusterState) -> list[str]:
        """The lines that are due now."""
        lines = []
        for what, want in self.wants.items():
            asked = want.asked
            waiting = sum(demand.count for demand in state.pending if _same(demand.asked, asked))
            if not waiting or want.served():
                self._reminders.pop(what, None)  # the next wait is a new one
            elif self._reminders.setdefault(what, Reminder(self.clock)).due():
                lines.append(f"waiting for room: {waiting} × {what} ({describe(asked)}); {_most_free(state, asked)}.")
        return lines


def read_state() -> ClusterState:
    """What waits on the connected cluster at the moment."""
    from ray._private.worker import global_worker  # the autoscaler's own view: Ray has no public one
    from ray.autoscaler.v2.sdk import get_cluster_resource_state

    state = get_cluster_resource_state(global_worker.gcs_client)
    alone = [Demand(dict(each.request.resources_bundle), each.count) for each in state.pending_resource_requests]
    gangs = [
        Demand(dict(each.resources_bundle), 1)
        for gang in state.pending_gang_resource_requests
        for each in gang.requests
    ]
    free = [dict(node.available_resources) for node in state.node_states]
    return ClusterState((*alone, *gangs), free)


def _same(found: Mapping[str, float], asked: Mapping[str, float]) -> bool:
    wanted = {name: amount for name, amount in asked.items() if amount > 0}
    there = {name: amount for name, amount in found.items() if amount > 0}
    return there.keys() == wanted.keys() and all(
        abs(there[name] - wanted[name]) < 1e-3 * wanted[name] for name in there
    )


def _most_free(state: ClusterState, asked: Mapping[str, float]) -> str:
    names = [name for name, amount in asked.items() if amount > 0]
    if not state.free:
        return "there are no nodes"
    best = max(state.free, key=lambda node: sum(min(1.0, node.get(name, 0.0) / asked[name]) for name in names))
    short = {name: best.get(name, 0.0) for name in names if best.get(name, 0.0) < asked[name]}
    if not short:
        return "a node has room, and Ray places it soon"
    has = ", ".join(describe({name: amount}, zeros=True) for name, amount in short.items())
    return f"the node with the most room has {has} free (`ray status` shows who holds the rest)"
