"""A cluster of several nodes on this machine, each with a raylet of its own, and songs for its jobs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

OBJECT_STORE = 80 * 2**20


class Nodes:
    """A head without CPUs, and nodes that come and go."""

    def __init__(self, count: int, cpus: float) -> None:
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": OBJECT_STORE}
        )
        self.nodes: list[Any] = [self.join(cpus) for _ in range(count)]

    @property
    def address(self) -> str:
        """What RAY_ADDRESS shall be."""
        return str(self._cluster.address)

    def join(self, cpus: float) -> Any:
        """One more node."""
        return self._cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE)

    def kill(self, node: Any) -> None:
        """Kill a node's raylet, as a machine that loses its power; nothing is drained."""
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self) -> None:
        """End all of it."""
        self._cluster.shutdown()


@contextmanager
def cluster_of(count: int, cpus: float) -> Iterator[Nodes]:
    """So many nodes of so many CPUs each, beside a head that has none."""
    # The nodes share this machine's cores: threads that spin while they wait would take them from each other.
    with patch.dict(os.environ, {"OMP_WAIT_POLICY": "PASSIVE"}):
        nodes = Nodes(count, cpus)
    try:
        yield nodes
    finally:
        nodes.end()


def start_command(*words: str, address: str, folder: Path) -> subprocess.Popen[str]:
    """`stems …` in a process of its own on that cluster, in that folder, its screen captured."""
    environment = {**os.environ, "RAY_ADDRESS": address, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *words],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
