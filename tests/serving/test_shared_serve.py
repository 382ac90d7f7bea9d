"""`stems serve` on a cluster that others use, and its end at any moment. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from helpers.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OTHERS = """
import sys
import ray
from ray import serve
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 150 * 2**20})
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
serve.start(http_options={"port": int(sys.argv[1])})

@serve.deployment(ray_actor_options={"num_cpus": 0})
class Other:
    def __call__(self, request):
        return "other"

serve.run(Other.bind(), name="other", route_prefix="/other")
print("ready", cluster.address, flush=True)
for line in sys.stdin:
    print(*sorted(serve.status().applications), flush=True)
"""


@dataclass
class Shared:
    """A cluster with a Serve and an application of others."""

    process: subprocess.Popen[str]
    address: str
    http: httpx.Client

    def applications(self) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    port = free_port()
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", OTHERS, str(port)], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        word, address = next(line.split() for line in process.stdout if line.startswith("ready"))
        assert word == "ready"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            yield Shared(process, address, http)
    finally:
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            each.kill()
        process.wait()


class Serving:
    """`stems serve` in a process of its own, with a mark on everything that it starts."""

    def __init__(self, model: Path, folder: Path, address: str = "", **settings: object) -> None:
        places = {"model": model, "state": f"sqlite:///{folder}/state.db", "results": folder / "results"}
        words = [f"--{name}={value}" for name, value in (places | {"port": free_port()} | settings).items()]
        self.mark, self.out, self.err = f"STEMS_MARK={time.time_ns()}", folder / "out", folder / "err"
        name, _, value = self.mark.partition("=")
        environment = {**os.environ, name: value, "RAY_ADDRESS": address, "OMP_NUM_THREADS": "1"}
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "serve", *words],
                env=environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def until_up(self) -> str:
        while "The page is at" not in self.out.read_text():
            assert self.process.poll() is None, self.err.read_text()
            time.sleep(0.1)
        return self.out.read_text().split()[4].rstrip("/")

    def end(self, seconds: float = 10.0) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def left(self) -> list[str]:
        """What still runs of all that it has started."""
        found = []
        for process in psutil.process_iter():
            try:
                if self.mark in Path(f"/proc/{process.pid}/environ").read_text():
                    found.append(" ".join(process.cmdline()))
            except (OSError, psutil.Error):
                continue
        return found


def test_a_service_ends_itself_alone_and_names_the_address_that_answers(
    shared: Shared, model_directory: Path, tmp_path: Path
) -> None:
    mine = Serving(model_directory, tmp_path, shared.address, name="mine", route_prefix="/music")
    url = mine.until_up()
    assert url == f"{str(shared.http.base_url).rstrip('/')}/music"
    assert httpx.get(f"{url}/livez").json() == {"status": "live"}
    for settings in ({"name": "mine"}, {"name": "more", "route_prefix": "/other"}):
        (tmp_path / str(settings["name"])).mkdir()
        refused = Serving(model_directory, tmp_path / str(settings["name"]), shared.address, **settings)
        assert refused.process.wait(60) == 2
        assert "--replace" in refused.err.read_text().splitlines()[-1]
    assert shared.applications() == ["mine", "other"]
    assert mine.end(seconds=20) == 0
    assert shared.applications() == ["other"]
    assert shared.http.get("/other").text == "other"


def test_an_interrupted_start_leaves_nothing_deployed(shared: Shared, model_directory: Path, tmp_path: Path) -> None:
    mine = Serving(model_directory, tmp_path, shared.address, name="mine", route_prefix="/music")
    while "mine" not in shared.applications():
        assert mine.process.poll() is None
    assert mine.end() == 130
    assert mine.err.read_text().splitlines()[-1].startswith("stems: interrupted")
    end = time.monotonic() + 20  # Serve goes on ending a copy that was loading
    while "mine" in shared.applications():
        assert time.monotonic() < end
    assert shared.http.get("/other").text == "other"


@pytest.mark.parametrize("seconds", [1.0, 5.0, 8.0, 11.0])
def test_sigterm_at_any_moment_of_the_start_ends_in_order(
    model_directory: Path, tmp_path: Path, seconds: float
) -> None:
    mine = Serving(model_directory, tmp_path)
    time.sleep(seconds)
    assert mine.end() in (0, 130)  # on a fast machine it is up by then
    said = mine.err.read_text()
    assert said in ("", "stems: interrupted; run the same command to go on.\n")
    assert mine.left() == []
