"""Continuous batching: one decoding engine, whose steps many requests share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from models.request_bounds import SamplingFields
from models.song.assembly import Assembly
from models.song.draft import Draft
from models.song.edit import FromText
from serving import tracing
from serving.timings import StageClock
from serving.workers.drafts import draft_of
from serving.workers.model_thread import ModelThread, Stream
from serving.workers.protocol import Chunk, GenerationOrder, Load

STALLED_S = 120.0
"""A step that takes longer will not end."""


class DecodeLoop:
    """Generates songs, as many at once as it has slots. Its methods run on an event loop, beside the model's thread.

    Args:
        assembly: the model.
        slots: songs at once.
        model: the one thread in which the model was loaded and computes. OpenMP keeps helpers for each thread that
            computes; if all of them are more than the cores, each step waits for them.
        bandwidth: bytes per second of this machine's memory, for the roofline.
        replica: name of this replica, for its load.
    """

    def __init__(
        self,
        assembly: Assembly,
        slots: int,
        model: ThreadPoolExecutor,
        bandwidth: float = float("inf"),
        replica: str = "",
    ) -> None:
        self._assembly, self._model = assembly, model
        self._thread = ModelThread.start(assembly, slots, model, bandwidth, replica)
        self._reading = asyncio.Lock()
        self._reading_threads = max(1, torch.get_num_threads() // 2)

    @property
    def precision(self) -> str:
        """The precision in which the language model decodes."""
        return self._thread.engine.plan.precision

    @property
    def load(self) -> Load:
        """How busy it is."""
        return self._thread.load

    def check(self) -> None:
        """Raise if the engine has failed, or hangs."""
        if self._thread.failure is not None:
            raise self._thread.failure
        began = self._thread.step_began
        if began is not None and time.monotonic() - began > STALLED_S:
            raise RuntimeError(f"The engine has been at one step for more than {STALLED_S:g} s.")

    async def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Generate a song, chunk by chunk. Closing the generator frees the slot before the engine's next step.

        Raises:
            StemsError: the order cannot be carried out.
        """
        self.check()
        clock = StageClock()
        draft = await self._draft(order, clock)
        stream = Stream(draft.request, self._assembly.decoder(draft), clock)
        self._model.submit(self._thread.submit, stream)
        try:
            frames = 0
            while frames < stream.total_frames:
                chunk = await stream.next()
                frames = chunk.frames
                yield chunk
        finally:
            self._model.submit(self._thread.cancel, stream)
            tracing.record_stages(clock)

    async def warm_up(self) -> None:
        """Generate a moment of sound, so that the first client does not wait for what is made at first use."""
        seconds = min(1.0, self._assembly.max_seconds)
        async for _ in self.generate(GenerationOrder(FromText(seconds), "", SamplingFields(seed=0))):
            pass

    async def _draft(self, order: GenerationOrder, clock: StageClock) -> Draft:
        """Encode given stems beside the model's thread, whose steps would otherwise stand still as long.

        One order at a time, with some of the cores, in a thread that ends with it, as do its OpenMP helpers.
        """
        loop, draft = asyncio.get_running_loop(), _timed(partial(draft_of, self._assembly, order), clock)
        if not order.stems:
            return await loop.run_in_executor(self._model, draft)
        async with self._reading:
            reader = ThreadPoolExecutor(
                1, "reader", initializer=partial(torch.set_num_threads, self._reading_threads)
            )
            try:
                return await loop.run_in_executor(reader, draft)
            finally:
                reader.shutdown(wait=False)


def _timed(draft: Callable[[], Draft], clock: StageClock) -> Callable[[], Draft]:
    """The same, which counts the time until it is called as waiting, and its own as encoding."""
    asked = time.perf_counter()

    def timed() -> Draft:
        clock.add("waiting", time.perf_counter() - asked)
        with clock.measure("encoding"):
            return draft()

    return timed
