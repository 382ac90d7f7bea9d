"""Training on Ray while processes are killed and machines come and go."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.clusters import cluster_of
from helpers.workers import SlowLM, SmallLM, run_workers

from pipelines.training.lm.config import LMTraining
from pipelines.training.loop import on_ray
from pipelines.training.loop.checkpoints import checkpoints
from pipelines.training.loop.train import train
from pipelines.training.loop.unshard import finished_recipe
from pipelines.training.tracking.history import read_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SHARDINGS = pytest.mark.parametrize("sharding", ["ddp", "fsdp"])


def settings(data: Path, output: Path, **changes: Any) -> LMTraining:
    fields: dict[str, Any] = {"steps": 60, "batch": 4, "learning_rate": 3e-3, "warmup_steps": 2, "log_every": 1}
    fields |= {"validate_every": 1000, "validation_examples": 1, "tracking": "off", "precision": "float32"}
    fields |= {"checkpoint_every": 5, "average_every": 1, "workers": 2, "restarts": 5}
    fields |= {"table": str(data / "tokens"), "codecs": str(data / "codecs"), "output": str(output)}
    return LMTraining(**(fields | changes))


def weights(config: LMTraining) -> dict[str, torch.Tensor]:
    step, path = checkpoints(Path(config.output))[-1]
    assert step == config.steps
    return finished_recipe(partial(SmallLM, config), path, averaged=True).module.state_dict()


def losses(config: LMTraining) -> list[float]:
    rows = [row for row in read_history(Path(config.output) / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, config.steps + 1))
    return [row["loss"] for row in rows]


def assert_same(config: LMTraining, whole: LMTraining) -> None:
    assert losses(config) == losses(whole)
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(config).items())


def step_of(config: LMTraining) -> int:
    rows = read_history(Path(config.output) / "metrics.jsonl")
    return int(rows[-1]["step"]) if rows else 0


def living_workers(config: LMTraining) -> list[int]:
    """Process ids of the workers that train: each notes what it saw in a file of its own."""
    pids = [int(path.stem.removeprefix("seen-")) for path in Path(config.output).glob("seen-*.jsonl")]
    return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())


@contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[None]:
    """Do something beside the test; its failure is the test's."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    thread.join(timeout=180)
    assert not thread.is_alive()
    assert not failures, failures


def wait_for(what: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@SHARDINGS
def test_workers_killed_at_random_steps_change_nothing(
    data: Path, tmp_path: Path, ray_local: object, sharding: str
) -> None:
    whole = settings(data, tmp_path / "whole", sharding=sharding)
    run_workers(whole, 2)
    config = settings(data, tmp_path / "killed", sharding=sharding)

    draw = random.Random(sharding)

    def kill_one(step: int) -> None:
        wait_for(lambda: step_of(config) >= step)
        os.kill(draw.choice(living_workers(config)), signal.SIGKILL)
        wait_for(lambda: step_of(config) < step or step_of(config) > step + 1)

    def kill_two() -> None:
        kill_one(draw.randint(5, 25))
        kill_one(draw.randint(30, 50))

    with meanwhile(kill_two):
        train(config, partial(SlowLM, config))
    assert len(list(Path(config.output).glob("seen-*.jsonl"))) == 6  # two workers, started three times
    assert_same(config, whole)


DRIVER = """
import sys
from functools import partial
from helpers.clusters import cluster_of
from helpers.workers import SlowLM
from pipelines.training.lm.config import LMTraining
from pipelines.training.loop.train import train
config = LMTraining.model_validate_json(sys.argv[1])
train(config, partial(SlowLM, config))
"""


@SHARDINGS
def test_a_driver_killed_at_a_random_step_changes_nothing(data: Path, tmp_path: Path, sharding: str) -> None:
    whole = settings(data, tmp_path / "whole", sharding=sharding)
    run_workers(whole, 2)
    config = settings(data, tmp_path / "killed", sharding=sharding)
    command = [sys.executable, "-c", DRIVER, config.model_dump_json()]
    environment = os.environ | {"RAY_ADDRESS": ""}
    target = random.Random(sharding).randint(5, 55)
    with (tmp_path / "driver.log").open("w") as log:
        driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for(lambda: step_of(config) >= target)
        driver.kill()
        driver.wait()
        wait_for(lambda: not living_workers(config))
        subprocess.run(command, env=environment, stdout=log, stderr=log, check=True, timeout=240)
    assert_same(config, whole)
    assert (Path(config.output) / "model" / "model.safetensors").exists()


def test_a_machine_that_leaves_and_comes_back(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray
    from ray.cluster_utils import Cluster

    fixed = settings(data, tmp_path / "fixed", steps=400)
    run_workers(fixed, 1)
    # Rare checkpoints: what is known when the machine goes is what was saved at the notice.
    config = settings(data, tmp_path / "elastic", steps=400, checkpoint_every=1000, min_workers=1)
    monkeypatch.setattr(on_ray, "RESIZE_SECONDS", 5.0)
    monkeypatch.setenv("RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S", "0.5")
    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        machine = cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False)

        # A cluster can only be changed by the main thread.
        with meanwhile(lambda: train(config, partial(SlowLM, config))):
            wait_for(lambda: step_of(config) >= 20)
            assert len(living_workers(config)) == 2
            drain(cluster.address, machine.node_id, seconds=20)
            wait_for(lambda: bool(checkpoints(Path(config.output))))
            cluster.remove_node(machine)
            wait_for(lambda: len(living_workers(config)) == 1)
            cluster.add_node(num_cpus=1)
            wait_for(lambda: len(living_workers(config)) == 2)
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert losses(config) == pytest.approx(losses(fixed), abs=1e-5)


def test_training_goes_on_when_one_of_three_nodes_is_killed(data: Path, tmp_path: Path) -> None:
    config = settings(data, tmp_path / "killed", steps=120, batch=6, workers=3, min_workers=2)
    with cluster_of(3, 1) as nodes, (tmp_path / "driver.log").open("w") as log:
        environment = {**os.environ, "RAY_ADDRESS": nodes.address, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", DRIVER, config.model_dump_json()]
        driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        wait_for(lambda: step_of(config) >= 10)
        nodes.kill(nodes.nodes[1])
        assert driver.wait(timeout=400) == 0, (tmp_path / "driver.log").read_text()
    losses(config)  # of every step, each once


def drain(address: str, node_id: str, seconds: float) -> None:
    """Tell Ray that a machine will be taken away."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated import autoscaler_pb2

    accepted, message = GcsClient(address=address).drain_node(
        node_id,
        autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "the spot price rose",
        int((time.time() + seconds) * 1000),
    )
    assert accepted, message
