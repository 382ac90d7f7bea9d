"""The one thread in which the model computes: its engine, and the streams that it fills."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from models.lm.engine.request import Output, Request
from models.lm.engine.roofline import step_seconds
from models.song.assembly import Assembly
from models.song.song_decoder import SongDecoder
from serving.timings import Stage, StageClock
from serving.workers.protocol import Chunk, Load

log = logging.getLogger(__name__)


class Stream:
    """One request: the model's thread puts chunks in, and the coroutine that waits for them takes them out.

    Args:
        request: what the engine is to fill.
        decoder: turns its frames into sound.
        clock: where its time goes. Once the stream was submitted, only the model's thread uses it.
    """

    def __init__(self, request: Request, decoder: SongDecoder, clock: StageClock) -> None:
        self.request, self.decoder, self.clock = request, decoder, clock
        self.total_frames = request.grid.columns
        self.sequence_id = -1
        self.cancelled = False
        self._queued: float | None = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[Chunk | Exception] = asyncio.Queue()

    def put(self, chunk: Chunk | Exception) -> None:
        """Pass a chunk, or the reason why none will follow, from the model's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)

    async def next(self) -> Chunk:
        """The next chunk; raises the exception that ended the stream."""
        chunk = await self._chunks.get()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def admit(self, now: float) -> None:
        """Count the time up to ``now`` as waiting for a slot, once."""
        if self._queued is not None:
            self.clock.add("waiting", now - self._queued)
            self._queued = None


class ModelThread:
    """Runs the engine's steps while any stream is open.

    Streams join and leave between steps. All methods but :meth:`start` must run in the thread; ``executor.submit``
    takes them there, one after the other.

    Args:
        assembly: the model.
        slots: songs at once.
        executor: the one thread in which the model was loaded.
        bandwidth: bytes per second of this machine's memory, for the roofline.
        replica: name of this replica, for its load.
    """

    def __init__(
        self, assembly: Assembly, slots: int, executor: ThreadPoolExecutor, bandwidth: float, replica: str
    ) -> None:
        self._assembly, self._executor, self._bandwidth = assembly, executor, bandwidth
        self.engine = assembly.lm.engine(slots, assembly.precision, assembly.max_seconds)
        self.load = Load(replica, slots, 0, 0, 0.0, 0.0, 0)
        self.failure: Exception | None = None
        """Why the engine failed. It runs no step after that."""
        self.step_began: float | None = None
        """When the current step began, by ``time.monotonic``; None between steps."""
        self._streams: dict[int, Stream] = {}
        self._scheduled = False

    @classmethod
    def start(
        cls, assembly: Assembly, slots: int, executor: ThreadPoolExecutor, bandwidth: float, replica: str
    ) -> ModelThread:
        """Make the engine in the thread, and wait for it. Call this from another thread."""
        return executor.submit(cls, assembly, slots, executor, bandwidth, replica).result()

    def submit(self, stream: Stream) -> None:
        """Queue a stream in the engine."""
        if stream.cancelled:
            return
        if self.failure is not None:
            stream.put(RuntimeError(f"The engine failed: {self.failure}"))
            return
        try:
            [stream.sequence_id] = self.engine.submit(stream.request)
            self._streams[stream.sequence_id] = stream
        except Exception as error:  # only this request is refused
            stream.put(error)
        if not self._scheduled:
            self._scheduled = True
            self._executor.submit(self._step)

    def cancel(self, stream: Stream) -> None:
        """Free the slot of a stream. One that has ended is ignored."""
        stream.cancelled = True
        if self._streams.pop(stream.sequence_id, None) is not None:
            self.engine.cancel(stream.sequence_id)

    def _step(self) -> None:
        """Run one step, then requeue itself behind pending submissions and cancellations while a stream is open."""
        self._scheduled = bool(self._streams)
        if not self._scheduled:
            self._update_load(None)
            return
        self.step_began = time.monotonic()
        began = time.perf_counter()
        try:
            outputs = self.engine.step()
            self._wait_for_prefill()
        except Exception as error:  # the state of the engine is unknown from here on; health checks report it
            log.exception("The engine failed.")
            self.failure = error
            for stream in self._streams.values():
                stream.put(RuntimeError(f"The engine failed: {error}"))
            self._streams.clear()
            return
        seconds = time.perf_counter() - began
        self._count_step(began, seconds)
        self._update_load(seconds)
        for output in outputs:
            self._emit(self._streams[output.sequence_id], output)
        self.step_began = None
        self._executor.submit(self._step)

    def _wait_for_prefill(self) -> None:
        """Wait for the device, so that the time of a prefill does not count as that of a later step."""
        if self.engine.phases.prefill and self.engine.device.type == "cuda":
            torch.cuda.synchronize(self.engine.device)

    def _count_step(self, began: float, seconds: float) -> None:
        """Count the whole step for each stream that took part: it has spent that time in it."""
        phases = self.engine.phases
        parts: list[tuple[Stage, tuple[int, ...]]] = [("prefill", phases.prefill), ("decoding", phases.decode)]
        for stage, sequence_ids in parts:
            for sequence_id in sequence_ids:
                if stream := self._streams.get(sequence_id):
                    stream.admit(began)
                    stream.clock.add(stage, seconds)

    def _emit(self, stream: Stream, output: Output) -> None:
        """Turn an output into sound, and put it into its stream."""
        if output.error is not None:  # the engine has released it
            stream.put(output.error)
            self._streams.pop(output.sequence_id, None)
            return
        stream.admit(time.perf_counter())
        try:
            with stream.clock.measure("codec"):
                sound = stream.decoder.push(output.codes, last=output.done)
            frames, codes = output.first + output.codes.shape[1], output.codes.numpy().astype(np.int16)
            rate, timings = self._assembly.sample_rate, dict(stream.clock.seconds)
            stream.put(Chunk(frames, stream.total_frames, codes, sound, rate, self.load, timings))
        except Exception as error:  # only this song fails
            stream.put(error)
            self.cancel(stream)
        if output.done:
            self._streams.pop(output.sequence_id, None)

    def _update_load(self, seconds: float | None) -> None:
        """Measure a step that took ``seconds``; None if there was none."""
        old, engine = self.load, self.engine
        step = old.step if seconds is None else seconds if not old.step else 0.9 * old.step + 0.1 * seconds
        least = step_seconds(engine.plan, self._bandwidth, requests=engine.running) if engine.running else 0.0
        steps = old.steps + (seconds is not None)
        self.load = Load(old.replica, old.slots, engine.running, engine.waiting, step, least, steps)
