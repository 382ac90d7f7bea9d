"""The deployment that holds the model, and how the API talks to it."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from models.assembly import Assembly
from models.edits import Edit
from models.errors import StemsError
from models.song import Song
from serving.orders import EditOrder, ModelFacts, SongOrder
from serving.problems import BusyError
from serving.registry import local_model

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Progress = Callable[[float], None]


class Musician(Protocol):
    """Whoever plays for the API: a model in this process, or its replicas."""

    async def facts(self) -> ModelFacts:
        """What the model can do."""

    async def ready(self) -> bool:
        """Whether a request made now would find a model."""

    async def song(self, order: SongOrder) -> Song:
        """Make a song from text."""

    async def edit(self, order: EditOrder) -> Song:
        """Change a song."""


class Generator:
    """One model, one song at a time, off the event loop. Ray Serve runs it as a deployment.

    A request whose client leaves is cancelled; the model notices at its next report of progress.
    """

    def __init__(self, model: str, device: str = "cpu", tracking: str = "", cache: str = "") -> None:
        self._assembly = Assembly.load(local_model(model, tracking, cache), device)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    async def facts(self) -> ModelFacts:
        """What the model can do."""
        model = self._assembly
        return ModelFacts(
            digest=model.digest,
            layout=model.layout,
            sample_rate=model.sample_rate,
            frame_rate=model.frame_rate,
            max_seconds=model.max_seconds,
            separates=model.separator is not None,
        )

    async def ready(self) -> bool:
        """True: the weights are loaded once this object exists."""
        return True

    async def song(self, order: SongOrder) -> Song:
        """Make a song from text."""
        return await self.play(
            lambda progress: self._assembly.generate(order.prompt, order.seconds, order.sampling, progress=progress)
        )

    async def edit(self, order: EditOrder) -> Song:
        """Change a song, separating it first where it is whole."""

        def work(progress: Progress) -> Song:
            given = order.stems
            if order.song is not None:
                stems = self._assembly.separate(order.song)
                given = {name: audio for name, audio in stems.items() if name not in order.silent}
            return self._assembly.edit(
                given,
                Edit(order.regenerate, silent=order.silent, exact=order.exact),
                order.prompt,
                order.sampling,
                progress,
            )

        return await self.play(work)

    async def play(self, work: Callable[[Progress], Result]) -> Result:
        """Run blocking work on the model's own thread; its reports of progress end it once nobody waits."""
        left = threading.Event()

        def progress(share: float) -> None:
            if left.is_set():
                raise _ClientLeftError

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, progress)
        except asyncio.CancelledError:
            left.set()
            raise


class _ClientLeftError(Exception):
    """Ends work that nobody waits for."""


class Replicas:
    """The generator deployment, as the API sees it: its faults become errors that a client can act on."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle
        self._facts: ModelFacts | None = None
        self._typical_seconds = 1.0

    async def facts(self) -> ModelFacts:
        """What the model can do; asked once, since replicas of one deployment hold the same model."""
        if self._facts is None:
            self._facts = await self._call(self._handle.facts)
        return self._facts

    async def ready(self) -> bool:
        """Whether a replica runs; false while it loads or is started again."""
        from ray import serve

        status = await asyncio.to_thread(serve.status)
        application = status.applications.get(self._handle.app_name)
        deployment = application and application.deployments.get(self._handle.deployment_name)
        return bool(deployment) and deployment.replica_states.get("RUNNING", 0) > 0

    async def song(self, order: SongOrder) -> Song:
        """Make a song from text."""
        return await self._timed(self._handle.song, order)

    async def edit(self, order: EditOrder) -> Song:
        """Change a song."""
        return await self._timed(self._handle.edit, order)

    async def _timed(self, method: Any, order: SongOrder | EditOrder) -> Song:
        started = time.monotonic()
        song: Song = await self._call(method, order)
        self._typical_seconds += 0.2 * (time.monotonic() - started - self._typical_seconds)
        return song

    async def _call(self, method: Any, *arguments: object) -> Any:
        from ray.exceptions import RayActorError, RayTaskError
        from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

        try:
            return await method.remote(*arguments)
        except BackPressureError as error:
            raise BusyError(
                "All copies of the model are at work, and the queue is full.",
                "Try again after the time in Retry-After.",
                retry_after=max(1, math.ceil(self._typical_seconds)),
            ) from error
        except (RayActorError, DeploymentUnavailableError) as error:
            log.warning("The generator went away during a request: %s", type(error).__name__)
            raise BusyError(
                "The model went away and is being started again.", "Try again soon.", retry_after=5
            ) from error
        except RayTaskError as error:
            if isinstance(error.cause, StemsError):
                raise error.cause from None
            raise
