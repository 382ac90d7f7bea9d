"""The deployments that hold the model: replicas of the generator, with a decoding engine each, and separators."""

from __future__ import annotations

import asyncio
import os
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
"""More than any cache holds."""


class GeneratorReplica:
    """One model and one engine. Ray Serve runs it as a deployment; a cancelled call frees its slot."""

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
        self._loop = DecodeLoop(self._assembly, config.slots, model, bandwidth, _replica_name())
        self._warm: asyncio.Task[None] | None = None

    async def info(self) -> ModelInfo:
        """Layout, rates and limits of the model. The first call returns once the model is warm."""
        await self._warmed()
        model = self._assembly
        return ModelInfo(
            digest=model.digest,
            layout=model.layout,
            sample_rate=model.sample_rate,
            frame_rate=model.frame_rate,
            max_seconds=model.max_seconds,
            separates=self._separates,
            precision=self._loop.precision,
        )

    async def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Carry out an order; see :class:`~serving.workers.decode_loop.DecodeLoop`."""
        began, first = time.monotonic(), None
        with tracing.span("generate", order.trace, task=type(order.task).__name__) as span:
            async with aclosing(self._loop.generate(order)) as chunks:
                async for chunk in chunks:
                    if first is None and chunk.sound:
                        first = time.monotonic() - began
                        span.set_attribute("first_audio_seconds", first)
                    span.set_attribute("frames", chunk.frames)
                    yield chunk

    async def check_health(self) -> None:
        """Ray Serve calls this every few seconds, and replaces a replica that raises.

        The first call waits for the warm-up, so it may take as long as the engine takes to compile.
        """
        self._loop.check()
        await self._warmed()

    async def _warmed(self) -> None:
        if self._warm is None:
            self._warm = asyncio.create_task(self._loop.warm_up())
        await asyncio.shield(self._warm)


def _replica_name() -> str:
    """The name of this replica on Ray Serve; outside of it, of this process."""
    from ray import serve
    from ray.serve.exceptions import RayServeException

    try:
        return str(serve.get_replica_context().replica_id.unique_id)
    except RayServeException:
        return f"process-{os.getpid()}"


class SeparatorReplica:
    """Separates whole songs. Ray Serve runs it as a deployment; its replicas end while no songs come."""

    def __init__(self, config: ServeConfig) -> None:
        tracing.start(config.traces, "separator")
        folder = Path(local_model(config.model, config.tracking, config.cache))
        # Ray shows a GPU to those alone that reserve one, and a separator does not.
        device = usable_device("auto") if config.gpus_per_replica else "cpu"
        separator = load_separator(folder, str(device))
        if separator is None:
            raise StemsError("This model has no separator.", "Send the stems one by one.", field="song")
        self._separator: Separator = separator

    async def separate(self, song: bytes, names: tuple[str, ...], rate: int, trace: str = "") -> dict[str, bytes]:
        """Separate an encoded song into encoded stems."""

        def work() -> dict[str, bytes]:
            stems = self._separator.stems(read_audio(song, name="song"), names, rate)
            return {name: encode_audio(audio, "flac") for name, audio in stems.items()}

        with tracing.span("separate", trace):
            return await asyncio.to_thread(work)
