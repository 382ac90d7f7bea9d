"""Jobs on a database and files, and a player that can be told to fail."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from helpers.tiny import LAYOUT

from serving.config import ServeConfig
from serving.jobs.blob_store import JobFiles, Stores
from serving.jobs.database import open_database
from serving.jobs.job_store import JobRecord, JobStore
from serving.jobs.scheduler import JobScheduler
from serving.metrics import Meter
from serving.workers.protocol import Chunk, GenerationOrder, Load, ModelInfo

FACTS = ModelInfo("digest", LAYOUT, 8000, 10.0, 60.0, False, "float32")
LOAD = Load("one", 1, 1, 0, 0.01, 0.001, 1)


class Fake:
    """Plays a second of noise in four chunks; what happens before each can be set."""

    def __init__(self, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.before, self.played = before, list[int]()

    async def info(self) -> ModelInfo:
        return FACTS

    async def ready(self) -> bool:
        return True

    async def separate(self, song: bytes, info: ModelInfo) -> dict[str, bytes]:
        raise NotImplementedError

    async def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        assert order.sampling.seed is not None
        noise = np.random.default_rng(order.sampling.seed).normal(size=(3, 8000)).astype(np.float32) * 0.1
        self.played.append(order.sampling.seed)
        for part in range(4):
            if self.before is not None:
                await self.before(part)
            sound = {name: noise[k, part * 2000 : (part + 1) * 2000] for k, name in enumerate(LAYOUT.names)}
            codes = np.zeros((LAYOUT.streams, 5), np.int16)
            yield Chunk(5 * (part + 1), 20, codes, sound, 8000, LOAD)


class House:
    """A database and files, and conductors on them."""

    def __init__(self, root: Path) -> None:
        self.engine = open_database(f"sqlite:///{root}/state.db")
        self.store = JobStore(self.engine)
        self.stores = Stores(self.store, JobFiles(str(root / "uploads")), JobFiles(str(root / "results")))
        self.meters: list[Meter] = []

    def scheduler(self, backend: Fake, **settings: Any) -> JobScheduler:
        config = ServeConfig(model="", **({"slots": 1, "max_queued": 3, "max_waiting": 1} | settings))
        self.meters.append(Meter())
        return JobScheduler(config, backend, self.stores, self.meters[-1])

    def ended(self) -> float:
        """How many ends the meters have seen."""
        samples = [s for m in self.meters for f in m.registry.collect() for s in f.samples]
        return sum(s.value for s in samples if s.name == "stems_jobs_total")


def new_job(seed: int = 1, **changes: Any) -> JobRecord:
    request = {"prompt": "", "seconds": 1.0, "seed": seed, "format": "wav"}
    job = JobRecord(secrets.token_urlsafe(8), "song", request, [], "", "r", "f", "digest", "", 0.0)
    return replace(job, **changes)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():
            await asyncio.sleep(0.01)
