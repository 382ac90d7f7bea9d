"""A real model with random weights, in this process and behind a running service."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from helpers.tiny import tiny_assembly_directory

from models.audio import Audio, encode_audio
from serving.api import create_app
from serving.config import ServeConfig
from serving.generator import Generator


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("serving") / "model")


@pytest.fixture(scope="session")
def generator(model_directory: Path) -> Generator:
    return Generator(str(model_directory))


@pytest.fixture
def local(generator: Generator, model_directory: Path) -> Iterator[TestClient]:
    """The API in this process, without Ray."""
    config = ServeConfig(model=str(model_directory), max_upload_mb=1, max_seconds=4)
    with TestClient(create_app(config, generator), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def service(ray_local: Any, model_directory: Path) -> Iterator[str]:
    """The URL of the service, running on Ray Serve. Its CPU is free again for the tests of other files."""
    from ray import serve

    from serving.app import start

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = ServeConfig(model=str(model_directory), port=port, max_queued=2, max_upload_mb=8, max_seconds=8)
    yield start(settings)
    serve.shutdown()


@pytest.fixture
def live(service: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service, timeout=60) as client:
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
