"""A real model with random weights, in this process and behind a running service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.listening import listening
from helpers.ports import free_port
from helpers.tiny import tiny_assembly_directory

from models.audio.files import Audio, encode_audio
from serving.config import ServeConfig
from serving.http.api import create_app
from serving.workers.deployments import GeneratorReplica, SeparatorReplica
from serving.workers.protocol import Chunk, GenerationOrder, ModelInfo


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("serving") / "model")


class Band:
    """A model in this process, as the API sees it."""

    def __init__(self, config: ServeConfig) -> None:
        self._generator, self._separator = GeneratorReplica(config), SeparatorReplica(config)

    async def info(self) -> ModelInfo:
        return await self._generator.info()

    async def ready(self) -> bool:
        return True

    def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        return self._generator.generate(order)

    async def separate(self, song: bytes, info: ModelInfo) -> dict[str, bytes]:
        return await self._separator.separate(song, info.layout.names, info.sample_rate)


@pytest.fixture(scope="session")
def band(model_directory: Path) -> Band:
    return Band(ServeConfig(model=str(model_directory), slots=4))


@pytest.fixture
def settings(model_directory: Path, tmp_path: Path) -> ServeConfig:
    return ServeConfig(
        model=str(model_directory),
        slots=4,
        max_upload_mb=1,
        max_seconds=4,
        hosts=("testserver",),
        state=f"sqlite:///{tmp_path}/state.db",
        results=str(tmp_path / "results"),
    )


@pytest.fixture
def local(band: Band, settings: ServeConfig) -> Iterator[TestClient]:
    """The API in this process, without Ray; its answers are waited for."""
    app = create_app(settings, band)
    with TestClient(app, raise_server_exceptions=False, headers={"Prefer": "wait=60"}) as client:
        yield client


@pytest.fixture(scope="module")
def service(ray_local: Any, model_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the service, running on Ray Serve. Its CPU is free again for the tests of other files."""
    from ray import serve

    from serving.app import start

    folder = tmp_path_factory.mktemp("service")
    settings = ServeConfig(
        model=str(model_directory),
        port=free_port(),
        slots=2,
        max_queued=8,
        max_waiting=2,
        max_upload_mb=8,
        max_seconds=8,
        state=f"sqlite:///{folder}/state.db",
        results=str(folder / "results"),
        drain_seconds=20,
    )
    yield start(settings)
    serve.shutdown()


@pytest.fixture
def live(service: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service, timeout=60, headers={"Prefer": "wait=60"}) as client:
        yield client


@pytest.fixture(scope="session")
def tone() -> Audio:
    """Two seconds of stereo at another rate than the model's."""
    time = np.arange(2 * 44_100) / 44_100
    left, right = 0.3 * np.sin(2 * np.pi * 110 * time), 0.2 * np.sin(2 * np.pi * 220 * time)
    return Audio(np.stack([left, right]).astype(np.float32), 44_100)


@pytest.fixture(scope="session")
def tone_wav(tone: Audio) -> bytes:
    return encode_audio(tone, "wav")


@pytest.fixture
def wire(settings: ServeConfig, band: Any) -> Iterator[tuple[str, int]]:
    """A service of little patience on a socket."""
    hasty = settings.model_copy(update={"body_seconds": 1.5})
    with listening(create_app(hasty, band)) as address:
        yield address
