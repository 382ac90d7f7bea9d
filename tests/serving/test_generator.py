from __future__ import annotations

import asyncio
import threading

import pytest

from models.lm.sampling import Sampling
from serving.generator import Generator, Progress
from serving.orders import SongOrder


def test_the_same_order_gives_the_same_song(generator: Generator) -> None:
    order = SongOrder("hum", 1.0, Sampling(seed=3))
    one, two = (asyncio.run(generator.song(order)) for _ in range(2))
    assert one.seed == 3
    assert one.codes.tobytes() == two.codes.tobytes()


def test_work_that_nobody_waits_for_ends_at_its_next_progress(generator: Generator) -> None:
    started, ended, given_up = threading.Event(), threading.Event(), threading.Event()

    def endless(progress: Progress) -> None:
        try:
            while not given_up.is_set():
                started.set()
                progress(0.5)
        finally:
            ended.set()

    async def leave() -> None:
        task = asyncio.create_task(generator.play(endless))
        await asyncio.to_thread(started.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        noticed = await asyncio.to_thread(ended.wait, 10)
        given_up.set()
        assert noticed

    asyncio.run(leave())


def test_the_event_loop_is_free_while_the_model_plays(generator: Generator) -> None:
    release = threading.Event()

    async def play() -> str:
        task = asyncio.create_task(generator.play(lambda progress: release.wait(30)))
        await asyncio.sleep(0)
        facts = await generator.facts()  # answers although the model is at work
        release.set()
        assert await task
        return facts.digest

    assert asyncio.run(play())
