"""The model as the API sees it, and how it reaches the deployments."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Protocol

from models.errors import StemsError
from serving import tracing
from serving.errors import BusyError
from serving.workers.protocol import Chunk, GenerationOrder, ModelInfo

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

log = logging.getLogger(__name__)


class WorkerLostError(Exception):
    """The replica is gone. Another one can start over, and will generate the same song."""


class ModelBackend(Protocol):
    """A model in this process, or the replicas of one."""

    async def info(self) -> ModelInfo:
        """Layout, rates and limits of the model."""

    async def ready(self) -> bool:
        """Whether a model is loaded and warm."""

    def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Carry out an order. Raises WorkerLostError if the replica dies."""

    async def separate(self, song: bytes, info: ModelInfo) -> dict[str, bytes]:
        """The stems of an encoded song. Raises WorkerLostError if the separator dies."""


class RayBackend:
    """The deployments on Ray Serve. Ray's errors become WorkerLostError, BusyError, or a replica's own StemsError."""

    def __init__(self, generator: DeploymentHandle, separator: DeploymentHandle) -> None:
        self._generator, self._separator = generator, separator
        self._info: ModelInfo | None = None

    async def info(self) -> ModelInfo:
        """Layout, rates and limits of the model; asked once, since all replicas hold the same model."""
        if self._info is None:
            from ray.exceptions import RayError

            try:
                self._info = await asyncio.wait_for(self._ask_info(), timeout=20)
            except (RayError, TimeoutError) as error:
                raise BusyError(
                    "No model is loaded yet.", "Try again in a few seconds.", code="starting", retry_after=5
                ) from error
        return self._info

    async def _ask_info(self) -> ModelInfo:
        info: ModelInfo = await self._generator.info.remote()
        return info

    async def ready(self) -> bool:
        """Whether a replica runs and is warm; False while it loads or restarts."""
        from ray import serve

        status = await asyncio.to_thread(serve.status)
        application = status.applications.get(self._generator.app_name)
        deployment = application and application.deployments.get(self._generator.deployment_name)
        if not deployment or not deployment.replica_states.get("RUNNING", 0):
            return False
        return bool(await self.info())

    async def generate(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Carry out an order on one of the replicas."""
        from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
        from ray.serve.exceptions import DeploymentUnavailableError

        chunks = self._generator.options(stream=True).generate.remote(order)
        ended = False
        try:
            async for chunk in chunks:
                yield chunk
            ended = True
        except (RayActorError, DeploymentUnavailableError, TaskCancelledError) as error:
            ended = True
            raise WorkerLostError(type(error).__name__) from error
        except RayTaskError as error:
            ended = True
            if isinstance(error.cause, StemsError):
                raise error.cause from None
            raise
        finally:
            if not ended:
                chunks.cancel()

    async def separate(self, song: bytes, info: ModelInfo) -> dict[str, bytes]:
        """Separate a song on one of the separators, which may have to start first."""
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import DeploymentUnavailableError

        try:
            wanted = (info.layout.names, info.sample_rate)
            stems: dict[str, bytes] = await self._separator.separate.remote(song, *wanted, trace=tracing.here())
        except (RayActorError, DeploymentUnavailableError) as error:
            raise WorkerLostError(type(error).__name__) from error
        except RayTaskError as error:
            if isinstance(error.cause, StemsError):
                raise error.cause from None
            raise
        return stems
