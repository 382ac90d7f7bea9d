"""Watches over a cluster while a job runs: says what waits for room, and which nodes go and come."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from cluster.nodes import addresses
from cluster.waiting import Waiting, Want, read_state

_LOOK_S = 5.0
_HEARTBEATS_S = 25.0

log = logging.getLogger(__name__)


@dataclass
class NodeLog:
    """Says which nodes are lost and which have joined; pure.

    Args:
        known: addresses of the nodes there are, by their ids.
    """

    known: Mapping[str, str] = field(default_factory=dict)

    def look(self, alive: Mapping[str, str]) -> list[str]:
        """A line for each node that was lost or has joined since the last look."""
        lost = [
            f"lost node {self.known[node]}; its work runs again on the others."
            for node in self.known
            if node not in alive
        ]
        new = [f"node {alive[node]} joined." for node in alive if node not in self.known]
        self.known = dict(alive)
        return lost + new


@contextmanager
def watch(wants: Mapping[str, Want]) -> Iterator[None]:
    """While the block runs, log requests that wait for resources, and nodes that leave or join."""
    over, waiting, nodes = threading.Event(), Waiting(wants), NodeLog(addresses())

    def look() -> None:
        for line in (*nodes.look(addresses()), *waiting.look(read_state())):
            log.warning("%s", line)

    def keep_looking() -> None:
        while not over.wait(_LOOK_S):
            try:
                look()
            except Exception as error:  # a cluster that does not answer at the moment says so elsewhere
                log.debug("the cluster's state cannot be read: %s", error)

    watcher = threading.Thread(target=keep_looking, daemon=True, name="watch-cluster")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class LostNodes:
    """A context that gives a question: has a node been lost since it began?

    A node that goes without a word counts as alive until it has missed heartbeats for 15 s or so; where there are
    several nodes the question waits for that.
    """

    def __enter__(self) -> Callable[[], bool]:
        before = set(addresses())

        def lost() -> bool:
            end = time.monotonic() + (_HEARTBEATS_S if len(before) > 1 else 0.0)
            while not (gone := before - set(addresses())) and time.monotonic() < end:
                time.sleep(1.0)
            return bool(gone)

        return lost

    def __exit__(self, *_: object) -> None:
        pass
