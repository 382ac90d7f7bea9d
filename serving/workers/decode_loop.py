"""One decoding engine that many requests share: they join between its steps, and leave when they are done."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from models.audio.files import read_audio
from models.lm.engine.request import Output, Request
from models.lm.engine.roofline import step_seconds
from models.lm.sampling import Sampling
from models.song.assembly import Assembly
from models.song.edit import Draft, Edit
from models.song.song_decoder import SongDecoder
from serving.workers.protocol import GenerationOrder

log = logging.getLogger(__name__)

STALLED_S = 120.0
"""A step that takes longer will not end."""


@dataclass(frozen=True)
class Load:
    """How busy a player is.

    Args:
        slots: songs that it can write at once.
        running: songs that it writes.
        waiting: songs that wait for a slot.
        step: seconds of its last steps, smoothed.
        roofline: the least seconds that such a step could take of this machine's memory.
        steps: how many it has made.
    """

    slots: int
    running: int
    waiting: int
    step: float
    roofline: float
    steps: int


@dataclass(frozen=True)
class Chunk:
    """What has come of a song since the last chunk.

    Args:
        frames: how many are written in all.
        of: how many there will be.
        codes: the new frames, int16 ``[streams, frames]``.
        sound: new mono samples of each stem, equally many; or nothing yet.
        rate: of the samples, in Hz.
        load: of who plays it.
    """

    frames: int
    of: int
    codes: np.ndarray
    sound: dict[str, np.ndarray]
    rate: int
    load: Load


class _Take:
    """A request on its way: what the model's thread tells its coroutine."""

    def __init__(self, decoder: SongDecoder, frames: int) -> None:
        self.decoder, self.frames = decoder, frames
        self.number = -1
        self.left = False
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[Chunk | Exception] = asyncio.Queue()

    def tell(self, news: Chunk | Exception) -> None:
        """From another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def next(self) -> Chunk:
        """The next chunk; raises what went wrong."""
        news = await self._news.get()
        if isinstance(news, Exception):
            raise news
        return news


class DecodeLoop:
    """Plays orders, as many at once as it has slots.

    Args:
        assembly: the model.
        slots: songs at once.
        model: the one thread in which the model was loaded and computes. OpenMP keeps helpers for each thread that
            computes; once all of them are more than cores, each step waits for them.
        bandwidth: bytes a second of this machine's memory, for the roofline.
    """

    def __init__(
        self, assembly: Assembly, slots: int, model: ThreadPoolExecutor, bandwidth: float = float("inf")
    ) -> None:
        self._assembly, self._slots, self._model, self._bandwidth = assembly, slots, model, bandwidth
        self._engine = model.submit(assembly.lm.engine, slots, assembly.precision, assembly.max_seconds).result()
        self._reading = asyncio.Lock()
        self._reading_threads = max(1, torch.get_num_threads() // 2)
        self._takes: dict[int, _Take] = {}
        self._turning = False
        self._failure: Exception | None = None
        self._began: float | None = None
        self._load = Load(slots, 0, 0, 0.0, 0.0, 0)

    @property
    def precision(self) -> str:
        """In which the model computes."""
        return self._engine.plan.precision

    @property
    def load(self) -> Load:
        """How busy it is."""
        return self._load

    def check(self) -> None:
        """Raise if the engine has failed, or hangs."""
        if self._failure is not None:
            raise self._failure
        if self._began is not None and time.monotonic() - self._began > STALLED_S:
            raise RuntimeError(f"The engine has been at one step for more than {STALLED_S:g} s.")

    async def play(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Write a song, and give it out as it comes. Closing it frees the slot before the engine's next step.

        Raises:
            StemsError: the order cannot be played.
        """
        self.check()
        draft = await (self._song(order) if order.edit is None else self._edit(order, order.edit))
        take = _Take(self._assembly.decoder(draft), draft.request.grid.columns)
        self._model.submit(self._submit, take, draft.request)
        try:
            frames = 0
            while frames < take.frames:
                chunk = await take.next()
                frames = chunk.frames
                yield chunk
        finally:
            self._model.submit(self._leave, take)

    async def warm_up(self) -> None:
        """Play a moment of something, so that the first client does not wait for what is made at first use."""
        async for _ in self.play(GenerationOrder("", Sampling(seed=0), seconds=min(1.0, self._assembly.max_seconds))):
            pass

    async def _song(self, order: GenerationOrder) -> Draft:
        draft = partial(self._assembly.song_draft, order.prompt, order.seconds, order.sampling)
        return await asyncio.get_running_loop().run_in_executor(self._model, draft)

    async def _edit(self, order: GenerationOrder, edit: Edit) -> Draft:
        """Read what is given, beside the steps, which would otherwise stand still as long.

        One at a time, with some of the cores, in a thread that ends with it, and whose helpers do.
        """

        def draft() -> Draft:
            given = {name: read_audio(data, name=name) for name, data in order.stems.items()}
            return self._assembly.edit_draft(given, edit, order.prompt, order.sampling)

        async with self._reading:
            reader = ThreadPoolExecutor(
                1, "reader", initializer=partial(torch.set_num_threads, self._reading_threads)
            )
            try:
                return await asyncio.get_running_loop().run_in_executor(reader, draft)
            finally:
                reader.shutdown(wait=False)

    # What follows is called in the model's thread, one after the other.

    def _submit(self, take: _Take, request: Request) -> None:
        if take.left:
            return
        if self._failure is not None:  # nobody who comes late is left waiting
            take.tell(RuntimeError(f"The engine failed: {self._failure}"))
            return
        try:
            [take.number] = self._engine.submit(request)
            self._takes[take.number] = take
        except Exception as error:  # refused: it is this request's alone
            take.tell(error)
        if not self._turning:
            self._turning = True
            self._model.submit(self._turn)

    def _leave(self, take: _Take) -> None:
        take.left = True
        if self._takes.pop(take.number, None) is not None:
            self._engine.cancel(take.number)

    def _turn(self) -> None:
        """A step; then another turn, behind all that was wished for meanwhile, for as long as anyone wants one."""
        self._turning = bool(self._takes)
        if not self._turning:
            self._measure(None)
            return
        self._began = began = time.monotonic()
        try:
            outputs = self._engine.step()
        except Exception as error:  # the engine cannot be trusted any more, and check() says so
            log.exception("The engine failed.")
            self._failure = error
            for take in self._takes.values():
                take.tell(RuntimeError(f"The engine failed: {error}"))
            self._takes.clear()
            return
        self._measure(time.monotonic() - began)
        for output in outputs:
            self._hear(self._takes[output.sequence_id], output)
        self._began = None
        self._model.submit(self._turn)

    def _hear(self, take: _Take, output: Output) -> None:
        """Turn an output into sound, and pass it on."""
        if output.error is not None:  # the engine has let go of it
            take.tell(output.error)
            self._takes.pop(output.sequence_id, None)
            return
        try:
            sound, rate = take.decoder.push(output.codes, last=output.done), self._assembly.sample_rate
            frames, codes = output.first + output.codes.shape[1], output.codes.numpy().astype(np.int16)
            take.tell(Chunk(frames, take.frames, codes, sound, rate, self._load))
        except Exception as error:  # it is this song's alone
            take.tell(error)
            self._leave(take)
        if output.done:
            self._takes.pop(output.sequence_id, None)

    def _measure(self, seconds: float | None) -> None:
        old, engine = self._load, self._engine
        step = old.step if seconds is None else seconds if not old.step else 0.9 * old.step + 0.1 * seconds
        least = step_seconds(engine.plan, self._bandwidth, requests=engine.running) if engine.running else 0.0
        self._load = Load(self._slots, engine.running, engine.waiting, step, least, old.steps + (seconds is not None))
