"""The deployments that hold the model: the generator, with a decoding engine each, and the separator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path

import torch

from models.audio.files import encode_audio, read_audio
from models.device import usable_device
from models.errors import StemsError
from models.lm.engine.roofline import memory_bandwidth
from models.lm.engine.weights import Precision
from models.separation import Separator
from models.song.assembly import Assembly
from models.song.model_directory import load_separator
from serving import tracing
from serving.config import ServeConfig
from serving.workers.decode_loop import DecodeLoop
from serving.workers.model_source import local_model
from serving.workers.protocol import Chunk, GenerationOrder, ModelInfo

_MEASURED_BYTES = 2**27
"""Enough to be beyond any cache."""


class GeneratorReplica:
    """One model and one engine. Ray Serve runs it as a deployment; a call that is given up frees its slot."""

    def __init__(self, config: ServeConfig) -> None:
        tracing.start(config.traces, "generator")
        device = torch.device("cuda" if config.gpus_per_replica else "cpu")
        folder = local_model(config.model, config.tracking, config.cache)
        precision: Precision | None = config.precision
        self._separates = (folder / "separator").is_dir()
        model = ThreadPoolExecutor(1, "model")
        load = partial(Assembly.load, folder, str(device), precision, separates=False)
        self._assembly = model.submit(load).result()
        bandwidth = model.submit(memory_bandwidth, device, _MEASURED_BYTES, turns=3).result()
        self._player = DecodeLoop(self._assembly, config.slots, model, bandwidth)
        self._warm: asyncio.Task[None] | None = None

    async def info(self) -> ModelInfo:
        """What the model can do. The first call returns once it is warm."""
        await self._warmed()
        model = self._assembly
        return ModelInfo(
            digest=model.digest,
            layout=model.layout,
            sample_rate=model.sample_rate,
            frame_rate=model.frame_rate,
            max_seconds=model.max_seconds,
            separates=self._separates,
            precision=self._player.precision,
        )

    async def play(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Play an order; see :class:`~serving.workers.decode_loop.DecodeLoop`."""
        began, first = time.monotonic(), None
        with tracing.span("play", order.trace, task=type(order.task).__name__) as span:
            async with aclosing(self._player.play(order)) as chunks:
                async for chunk in chunks:
                    if first is None and chunk.sound:
                        first = time.monotonic() - began
                        span.set_attribute("first_audio_seconds", first)
                    span.set_attribute("frames", chunk.frames)
                    yield chunk

    async def check_health(self) -> None:
        """Ray Serve asks now and then, and starts another copy in place of one that fails."""
        self._player.check()
        await self._warmed()

    async def _warmed(self) -> None:
        if self._warm is None:
            self._warm = asyncio.create_task(self._player.warm_up())
        await asyncio.shield(self._warm)


class SeparatorReplica:
    """Takes whole songs apart. Ray Serve runs it as a deployment, and none while none is needed."""

    def __init__(self, config: ServeConfig) -> None:
        tracing.start(config.traces, "separator")
        folder = Path(local_model(config.model, config.tracking, config.cache))
        # Ray shows a GPU to those alone that reserve one, and a separator does not.
        device = usable_device("auto") if config.gpus_per_replica else "cpu"
        separator = load_separator(folder, str(device))
        if separator is None:
            raise StemsError("This model has no separator.", "Give the stems one by one.", field="song")
        self._separator: Separator = separator

    async def separate(self, song: bytes, names: tuple[str, ...], rate: int, trace: str = "") -> dict[str, bytes]:
        """An encoded song to encoded stems."""

        def work() -> dict[str, bytes]:
            stems = self._separator.stems(read_audio(song, name="song"), names, rate)
            return {name: encode_audio(audio, "flac") for name, audio in stems.items()}

        with tracing.span("separate", trace):
            return await asyncio.to_thread(work)
