"""The service when things go wrong: too many clients, players that die, a machine that dies, a new version."""

from __future__ import annotations

import asyncio
import math
import random
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from helpers.hooks import SECRET, Hook, listening, until_settled
from helpers.ports import free_port
from helpers.served import served

from serving.config import ServeConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WAIT = {"Prefer": "wait=60"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as found:
        yield found


@contextmanager
def running(config: ServeConfig) -> Iterator[str]:
    from ray import serve

    from serving.app import start

    try:
        yield start(config)
    finally:
        serve.shutdown()


def configured(model: Path, folder: Path, **settings: Any) -> ServeConfig:
    places = {"state": f"sqlite:///{folder}/state.db", "results": str(folder / "results"), "port": free_port()}
    return ServeConfig(model=str(model), **(places | {"drain_seconds": 20} | settings))


def replicas(of: str) -> list[psutil.Process]:
    """Processes of a deployment."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if words.startswith("ray::ServeReplica:stems:" + of):
            found.append(process)
    return found


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]


def test_more_than_it_can_do_slows_nobody_who_was_let_in(
    ray_local: Any, model_directory: Path, tmp_path: Path
) -> None:
    """Ten times its capacity for a minute, of songs so long that a hiccup of the machine is small beside them."""
    body = {"seconds": 12, "format": "flac"}
    config = configured(model_directory, tmp_path, slots=1, max_waiting=0, requests_per_minute=10**6)

    async def ask(http: httpx.AsyncClient) -> tuple[int, float, str]:
        began = time.monotonic()
        answer = await http.post("/v1/songs", json=body, headers=WAIT)
        return answer.status_code, time.monotonic() - began, answer.headers.get("retry-after", "")

    async def overload(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=30, limits=httpx.Limits(max_connections=200)) as http:
            unloaded = [await ask(http) for _ in range(12)]
            assert {status for status, _, _ in unloaded} == {200}
            typical = percentile([seconds for _, seconds, _ in unloaded], 0.5)
            before = memory()
            answers: list[tuple[int, float, str]] = []
            tasks = []
            rng, end = random.Random(0), time.monotonic() + 60
            while time.monotonic() < end:
                tasks.append(asyncio.create_task(ask(http)))
                await asyncio.sleep(rng.expovariate(10 / typical))
            answers = await asyncio.gather(*tasks)
            after = time.monotonic()
            while (await ask(http))[0] != 200:
                await asyncio.sleep(0.1)
            assert time.monotonic() - after < 5
            admitted = [seconds for status, seconds, _ in answers if status == 200]
            refused = [(seconds, retry) for status, seconds, retry in answers if status in (429, 503)]
            slowest = percentile([seconds for _, seconds, _ in unloaded], 0.99)
            print(
                f"{len(admitted)} of {len(answers)} admitted, p99 {percentile(admitted, 0.99):.2f} s of {slowest:.2f}"
            )
            print(f"refused within {percentile([seconds for seconds, _ in refused], 0.99):.3f} s")
            assert len(admitted) + len(refused) == len(answers)
            assert len(refused) > 5 * len(admitted)
            assert all(int(retry) >= 1 for _, retry in refused)
            assert percentile([seconds for seconds, _ in refused], 0.99) < 0.2
            assert percentile(admitted, 0.99) <= 2 * slowest
            assert memory() < before + 60e6

    with running(config) as url:
        asyncio.run(overload(url))


def memory() -> float:
    return sum(process.memory_full_info().uss for process in (*replicas("Ingress"), *replicas("GeneratorReplica")))


def test_players_are_killed_and_every_job_ends_once(
    ray_local: Any, model_directory: Path, tmp_path: Path, hook: Hook
) -> None:
    config = configured(
        model_directory,
        tmp_path,
        replicas=2,
        cpus_per_replica=0.5,
        slots=2,
        max_queued=1000,
        webhook_hosts=(hook.host,),
        webhook_secret=SECRET,
    )
    accepted: list[str] = []

    def submit(http: httpx.Client) -> None:
        while kills < 3:
            seconds = random.uniform(1, 6)
            answer = http.post("/v1/songs", json={"seconds": seconds, "webhook": hook.address})
            if answer.status_code == 202:
                accepted.append(answer.json()["id"])
            time.sleep(1.0)

    kills = 0
    with running(config) as url, httpx.Client(base_url=url, timeout=60) as http, ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(submit, http) for _ in range(2)]
        while kills < 3:
            time.sleep(10)
            random.choice(replicas("GeneratorReplica")).send_signal(signal.SIGKILL)
            kills += 1
        for client in clients:
            client.result()
        states = [http.get(f"/v1/jobs/{job}", headers=WAIT).json()["state"] for job in accepted]
        until_settled(hook, config.state, len(accepted))
        assert len(accepted) > 20
        assert set(states) == {"done"}
        assert sorted(job["id"] for job in hook.told) == sorted(accepted)


def test_a_service_killed_amid_its_jobs_finishes_them_when_it_is_started_again(
    model_directory: Path, tmp_path: Path, hook: Hook
) -> None:
    settings: dict[str, Any] = {
        "model": model_directory,
        "slots": 2,
        "state": f"sqlite:///{tmp_path}/state.db",
        "results": tmp_path / "results",
        "webhook_hosts": f'["{hook.host}"]',
        "webhook_secret": SECRET,
    }
    with served(**settings) as http:
        jobs = [
            http.post("/v1/songs", json={"seconds": 9, "seed": seed, "webhook": hook.address}).json()
            for seed in range(8)
        ]
        while not any(http.get(job["links"]["self"]).json()["state"] == "running" for job in jobs):
            time.sleep(0.05)
    told = len(hook.told)
    assert told < 8
    with served(**settings) as http:
        ended = [http.get(job["links"]["self"], headers=WAIT).json() for job in jobs]
        until_settled(hook, settings["state"], 8)
        assert {job["state"] for job in ended} == {"done"}
        assert [job["seed"] for job in ended] == list(range(8))
        assert sorted(job["id"] for job in hook.told) == sorted(job["id"] for job in jobs)


def test_a_new_version_takes_over_and_drops_nobody(ray_local: Any, model_directory: Path, tmp_path: Path) -> None:
    from ray import serve

    from serving.app import build

    config = configured(model_directory, tmp_path, slots=2)
    states: list[int] = []
    over = False

    def ask(http: httpx.Client, prefer: dict[str, str]) -> None:
        while not over:
            answer = http.post("/v1/songs", json={"seconds": 1}, headers=prefer)
            states.append(answer.status_code)
            if prefer == {}:
                ended = http.get(answer.json()["links"]["self"], headers=WAIT)
                states.append(ended.status_code if ended.json()["state"] == "done" else 500)

    def until_answered(count: int) -> None:
        end = time.monotonic() + 60
        while len(states) < count:
            assert time.monotonic() < end
            time.sleep(0.05)

    with running(config) as url, httpx.Client(base_url=url, timeout=60) as http, ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(ask, http, WAIT), pool.submit(ask, http, {})]
        until_answered(10)
        serve.run(build(config.model_copy(update={"slots": 3})), name=config.name, route_prefix="/")
        until_answered(len(states) + 10)
        over = True
        for client in clients:
            client.result()
        assert re.search(r'^stems_slots\{replica="[^"]+"\} 3\.0$', http.get("/metrics").text, re.MULTILINE)
    assert set(states) <= {200, 202}
    assert len(states) > 10
