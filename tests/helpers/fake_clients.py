"""Clients for tests: time that passes only in sleep, and the asynchronous client called like the blocking one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from serving.client.client import Stems

Make = Callable[..., Stems]
"""Makes a client of a service; its other arguments are the client's."""


class Clock:
    """Time that passes only in sleep."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


class AsyncClock:
    """The part of asyncio that a client needs, on a clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.to_thread = clock, asyncio.to_thread

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.sleep(seconds)


class Blocking:
    """An asynchronous client, called as if it were a blocking one."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            method = getattr(self.client, name)
            if name == "events":
                return iter(asyncio.run(_all(method(*args, **named))))
            return asyncio.run(_one(method(*args, **named)))

        return call


async def _one(call: Coroutine[Any, Any, Any]) -> Any:
    return await call


async def _all(found: AsyncIterator[Any]) -> list[Any]:
    return [one async for one in found]
