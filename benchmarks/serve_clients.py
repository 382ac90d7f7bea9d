"""Clients in a closed loop, and what they got and when."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx
import numpy as np

from benchmarks.serve_peers import Ask
from models.stems import StemLayout

LAYOUT = StemLayout.parse("bass:1,drums:1,other:4")
PROMPTS = ("a tight funk groove", "slow strings over brushed drums", "acid bass, 130 bpm", "calm electric piano")
SHORTEST, LONGEST = 2.0, 10.0


@dataclass(frozen=True)
class Heard:
    """What a client got: when it had the first sound and the whole song, in seconds since it asked."""

    ask: Ask
    first: float
    whole: float
    wav: bytes


@dataclass(frozen=True)
class Outcome:
    """A closed loop from the first request to the last answer."""

    heard: list[Heard]
    took: float

    @property
    def rate(self) -> float:
        """Seconds of music a second."""
        return sum(heard.ask.seconds for heard in self.heard) / self.took

    @property
    def songs_a_minute(self) -> float:
        return 60 * len(self.heard) / self.took

    def first(self, share: float) -> float:
        return float(np.quantile([heard.first for heard in self.heard], share))

    def whole(self, share: float) -> float:
        return float(np.quantile([heard.whole for heard in self.heard], share))


Client = Callable[[httpx.AsyncClient, Ask], Awaitable[Heard]]


def draw(count: int, seed: int) -> list[Ask]:
    """Songs of mixed length."""
    rng = np.random.default_rng(seed)
    lengths = rng.uniform(SHORTEST, LONGEST, count).round(1)
    return [Ask(PROMPTS[k % len(PROMPTS)], float(length), k) for k, length in enumerate(lengths)]


async def ask_service(http: httpx.AsyncClient, ask: Ask) -> Heard:
    """Ask for a job, listen to it, and fetch the mix when it is done."""
    began, first = time.perf_counter(), 0.0
    fields = {"prompt": ask.prompt, "seconds": ask.seconds, "seed": ask.seed, "format": "wav"}
    job = (await http.post("/v1/songs", json=fields)).raise_for_status().json()
    stems: set[str] = set()
    async with http.stream("GET", job["links"]["events"], params={"audio": "true"}) as answer:
        answer.raise_for_status()
        async for kind, data in events(answer):
            if kind == "audio" and not first:
                stem = json.loads(data)
                if base64.b64decode(stem["pcm"]):
                    stems.add(stem["stem"])
                if len(stems) == len(LAYOUT.stems):
                    first = time.perf_counter() - began
            elif kind == "end":
                job = json.loads(data)
    if job["state"] != "done":
        raise RuntimeError(f"A job ended as {job['state']}: {job['problem']}")
    wav = (await http.get(job["links"]["mix"])).raise_for_status().content
    return Heard(ask, first, time.perf_counter() - began, wav)


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    """Server-sent events: what kind, and the data."""
    kind = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            yield kind, value


async def ask_peer(http: httpx.AsyncClient, ask: Ask) -> Heard:
    """Ask, and wait for the answer."""
    began = time.perf_counter()
    wav = (await http.post("/", json=ask._asdict())).raise_for_status().content
    whole = time.perf_counter() - began
    return Heard(ask, whole, whole, wav)


async def closed_loop(url: str, client: Client, asks: Sequence[Ask], clients: int) -> Outcome:
    """So many clients, until nothing is left to ask for."""
    left, heard = iter(asks), list[Heard]()

    async def one(http: httpx.AsyncClient) -> None:
        for ask in left:
            heard.append(await client(http, ask))

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=600, limits=limits) as http:
        began = time.perf_counter()
        await asyncio.gather(*(one(http) for _ in range(clients)))
        return Outcome(heard, time.perf_counter() - began)
