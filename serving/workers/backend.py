"""Whoever plays for the API, and how it reaches the deployments."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Protocol

from models.errors import StemsError
from serving.errors import BusyError
from serving.workers.decode_loop import Chunk
from serving.workers.protocol import GenerationOrder, ModelInfo

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

log = logging.getLogger(__name__)


class WorkerLostError(Exception):
    """Who played is gone; another one can play the same from the start, and will play the same."""


class ModelBackend(Protocol):
    """A model in this process, or its replicas."""

    async def info(self) -> ModelInfo:
        """What the model can do."""

    async def ready(self) -> bool:
        """Whether a request made now would find a model."""

    def play(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Play an order. Raises WorkerLostError where who played is gone."""

    async def separate(self, song: bytes, info: ModelInfo) -> dict[str, bytes]:
        """The stems of an encoded song. Raises WorkerLostError as above."""


class RayBackend:
    """The deployments, as the API sees them: their faults become errors that can be acted on."""

    def __init__(self, generator: DeploymentHandle, separator: DeploymentHandle) -> None:
        self._generator, self._separator = generator, separator
        self._info: ModelInfo | None = None

    async def info(self) -> ModelInfo:
        """What the model can do; asked once, since replicas of one deployment hold the same model."""
        if self._info is None:
            from ray.exceptions import RayError

            try:
                self._info = await asyncio.wait_for(self._ask_info(), timeout=20)
            except (RayError, TimeoutError) as error:
                raise BusyError(
                    "No model is loaded yet.", "Try again soon.", code="starting", retry_after=5
                ) from error
        return self._info

    async def _ask_info(self) -> ModelInfo:
        info: ModelInfo = await self._generator.info.remote()
        return info

    async def ready(self) -> bool:
        """Whether a replica runs, warm; false while it loads or is started again."""
        from ray import serve

        status = await asyncio.to_thread(serve.status)
        application = status.applications.get(self._generator.app_name)
        deployment = application and application.deployments.get(self._generator.deployment_name)
        if not deployment or not deployment.replica_states.get("RUNNING", 0):
            return False
        return bool(await self.info())

    async def play(self, order: GenerationOrder) -> AsyncGenerator[Chunk, None]:
        """Play an order on one of the replicas."""
        from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
        from ray.serve.exceptions import DeploymentUnavailableError

        chunks = self._generator.options(stream=True).play.remote(order)
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
        """Take a song apart on one of the separators, which may have to start first."""
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import DeploymentUnavailableError

        try:
            stems: dict[str, bytes] = await self._separator.separate.remote(song, info.layout.names, info.sample_rate)
        except (RayActorError, DeploymentUnavailableError) as error:
            raise WorkerLostError(type(error).__name__) from error
        except RayTaskError as error:
            if isinstance(error.cause, StemsError):
                raise error.cause from None
            raise
        return stems
