"""One decoding engine that many requests share: they join between its steps, and leave when they are done."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.assembly import Assembly
from models.audio import read_audio
from models.edits import Draft
from models.lm.engine.request import Request, Written
from models.lm.engine.roofline import step_seconds
from models.lm.sampling import Sampling
from serving.orders import Order

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
class Piece:
    """What has come of a song since the last piece.

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
    """A request on its way: what the engine's thread tells its coroutine."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[Written | Exception] = asyncio.Queue()
        self.number = -1
        self.left = False

    def tell(self, news: Written | Exception) -> None:
        """From another thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.put_nowait, news)

    async def next(self) -> Written:
        """The next news; raises what the engine raised."""
        news = await self._news.get()
        if isinstance(news, Exception):
            raise news
        return news


class Player:
    """Plays orders, as many at once as it has slots.

    The engine has a thread of its own; texts, stems and sounds pass the codecs on another.

    Args:
        assembly: the model.
        slots: songs at once.
        bandwidth: bytes a second of this machine's memory, for the roofline.
    """

    def __init__(self, assembly: Assembly, slots: int, bandwidth: float = float("inf")) -> None:
        self._assembly, self._slots, self._bandwidth = assembly, slots, bandwidth
        self._engine = assembly.lm.engine(slots, assembly.precision, assembly.max_seconds)
        self._codecs = ThreadPoolExecutor(max_workers=1, thread_name_prefix="codecs")
        self._wishes: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._takes: dict[int, _Take] = {}
        self._failure: Exception | None = None
        self._began: float | None = None
        self._load = Load(slots, 0, 0, 0.0, 0.0, 0)
        threading.Thread(target=self._run, name="engine", daemon=True).start()

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

    async def play(self, order: Order) -> AsyncGenerator[Piece, None]:
        """Write a song, and give it out as it comes. Closing it frees the slot before the engine's next step.

        Raises:
            StemsError: the order cannot be played.
        """
        self.check()
        loop = asyncio.get_running_loop()
        draft = await loop.run_in_executor(self._codecs, self._draft, order)
        decoder = self._assembly.decoder(draft)
        take, frames = _Take(), 0
        self._wishes.put(partial(self._submit, take, draft.request))
        try:
            last = False
            while not last:
                written = await take.next()
                last = written.done
                sound = await loop.run_in_executor(
                    self._codecs, partial(decoder.push, written.codes, last=written.done)
                )
                frames += written.codes.shape[1]
                codes = written.codes.numpy().astype(np.int16)
                yield Piece(frames, draft.request.grid.columns, codes, sound, self._assembly.sample_rate, self._load)
        finally:
            self._wishes.put(partial(self._leave, take))

    async def warm_up(self) -> None:
        """Play a moment of something, so that the first client does not wait for what is made at first use."""
        async for _ in self.play(Order("", Sampling(seed=0), seconds=min(1.0, self._assembly.max_seconds))):
            pass

    def _draft(self, order: Order) -> Draft:
        if order.edit is None:
            return self._assembly.song_draft(order.prompt, order.seconds, order.sampling)
        given = {name: read_audio(data, name=name) for name, data in order.stems.items()}
        return self._assembly.edit_draft(given, order.edit, order.prompt, order.sampling)

    def _submit(self, take: _Take, request: Request) -> None:
        if take.left:
            return
        if self._failure is not None:
            take.tell(RuntimeError(f"The engine failed: {self._failure}"))
            return
        try:
            [take.number] = self._engine.submit(request)
            self._takes[take.number] = take
        except Exception as error:  # refused: it is this request's alone
            take.tell(error)

    def _leave(self, take: _Take) -> None:
        take.left = True
        if self._takes.pop(take.number, None) is not None:
            self._engine.cancel(take.number)

    def _run(self) -> None:
        """The engine's thread: what is wished, then a step, for as long as anyone wants one."""
        while self._failure is None:
            self._obey()
            began = time.monotonic()
            self._began = began
            try:
                news = self._engine.step()
            except Exception as error:  # the engine cannot be trusted any more, and check() says so
                log.exception("The engine failed.")
                self._failure = error
                for take in self._takes.values():
                    take.tell(RuntimeError(f"The engine failed: {error}"))
                self._takes.clear()
                break
            self._began = None
            self._measure(time.monotonic() - began)
            for written in news:
                self._takes[written.request].tell(written)
                if written.done:
                    del self._takes[written.request]
        while True:  # nobody who comes late is left waiting
            self._wishes.get()()

    def _obey(self) -> None:
        idle = not (self._engine.running or self._engine.waiting)
        while True:
            try:
                self._wishes.get(block=idle)()
            except queue.Empty:
                return
            idle = not (self._engine.running or self._engine.waiting)
            if idle:
                self._measure(None)

    def _measure(self, seconds: float | None) -> None:
        old, engine = self._load, self._engine
        step = old.step if seconds is None else seconds if not old.step else 0.9 * old.step + 0.1 * seconds
        least = step_seconds(engine.plan, self._bandwidth, requests=engine.running) if engine.running else 0.0
        self._load = Load(self._slots, engine.running, engine.waiting, step, least, old.steps + (seconds is not None))
