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

from serving.conductor import Conductor, Shelf
from serving.config import ServeConfig
from serving.database import open_database
from serving.job_store import JobRecord, JobStore
from serving.metrics import Meter
from serving.orders import ModelFacts, Order
from serving.player import Load, Piece
from serving.results import Files

FACTS = ModelFacts("digest", LAYOUT, 8000, 10.0, 60.0, False, "float32")
LOAD = Load(1, 1, 0, 0.01, 0.001, 1)


class Fake:
    """Plays a second of noise in four pieces; what happens before each can be set."""

    def __init__(self, before: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.before, self.played = before, list[int]()

    async def facts(self) -> ModelFacts:
        return FACTS

    async def ready(self) -> bool:
        return True

    async def separate(self, song: bytes, facts: ModelFacts) -> dict[str, bytes]:
        raise NotImplementedError

    async def play(self, order: Order) -> AsyncGenerator[Piece, None]:
        assert order.sampling.seed is not None
        noise = np.random.default_rng(order.sampling.seed).normal(size=(3, 8000)).astype(np.float32) * 0.1
        self.played.append(order.sampling.seed)
        for part in range(4):
            if self.before is not None:
                await self.before(part)
            sound = {name: noise[k, part * 2000 : (part + 1) * 2000] for k, name in enumerate(LAYOUT.names)}
            codes = np.zeros((LAYOUT.streams, 5), np.int16)
            yield Piece(5 * (part + 1), 20, codes, sound, 8000, LOAD)


class House:
    """A database and files, and conductors on them."""

    def __init__(self, root: Path) -> None:
        self.engine = open_database(f"sqlite:///{root}/state.db")
        self.store = JobStore(self.engine)
        self.shelf = Shelf(self.store, Files(str(root / "uploads")), Files(str(root / "results")))
        self.meters: list[Meter] = []

    def conductor(self, musician: Fake, **settings: Any) -> Conductor:
        config = ServeConfig(model="", **({"slots": 1, "max_queued": 3, "max_waiting": 1} | settings))
        self.meters.append(Meter())
        return Conductor(config, musician, self.shelf, self.meters[-1])

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
