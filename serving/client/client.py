"""Clients of the HTTP API: :class:`Stems`, and :class:`AsyncStems`, the same with ``await``. No torch, no Ray.

Every call raises :class:`RequestError` where the service refuses it, or stays busy or out of reach for longer than
the client has patience; and StemsError where what it was given cannot be sent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from models.audio.files import AudioFormat
from serving.client import downloads, protocol, requests
from serving.client.events import AudioEvent, EndEvent, Event, JobEvent, Listening, ProgressEvent
from serving.client.music import MusicRequests
from serving.client.retries import RequestError
from serving.client.server import SERVER, address, headers
from serving.client.sounds import Sound
from serving.schemas import Job, ModelCard

__all__ = [
    "AsyncStems",
    "AudioEvent",
    "EndEvent",
    "Event",
    "Job",
    "JobEvent",
    "ProgressEvent",
    "RequestError",
    "Sound",
    "Stems",
]

T = TypeVar("T")


class Stems(MusicRequests[Job]):
    """A client of one service; use it in a ``with``, or close it.

    Args:
        server: the service's address.
        key: API key; without one the environment's ``STEMS_API_KEY``, and without that none.
        timeout: seconds for a connection, and for the service to say something.
        patience: seconds to try again while the service is busy or out of reach; 0 to give up at once.
        transport: of httpx, in place of the network.
    """

    def __init__(
        self,
        server: str = SERVER,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=address(server), headers=headers(key), transport=transport)
        self._timeout, self._patience = timeout, patience

    def job(self, job: Job | str) -> Job:
        """Return a job's current state."""
        return self._asked(requests.look(job))

    def wait(self, job: Job | str, seconds: float | None = None) -> Job:
        """Wait until a job is done, failed or cancelled, for at most ``seconds``; return it."""
        return self._carry_out(protocol.wait(job, seconds, self._patience))

    def events(self, job: Job | str, *, audio: bool = False) -> Iterator[Event]:
        """Iterate over a job's events, with sound if ``audio``; reconnects when a connection breaks."""
        listening = Listening(job, audio, self._patience)
        while True:
            try:
                answer = self._http.send(listening.ask().build(self._http, self._timeout), stream=True)
                try:
                    if not answer.is_success:
                        answer.read()
                    listening.opened(answer)
                    for chunk in answer.iter_bytes():
                        yield from listening.feed(chunk)
                        if listening.over:
                            return
                finally:
                    answer.close()
            except (httpx.RequestError, RequestError) as error:
                listening.broke(error)
            time.sleep(listening.pause())

    def mix(self, job: Job | str, format: AudioFormat | None = None) -> bytes:
        """The mix of a job that is done, as an audio file; in the request's format, or in ``format``."""
        return self._carry_out(protocol.result_file(job, "mix", self._patience, format=format))

    def stem(self, job: Job | str, name: str, format: AudioFormat | None = None) -> bytes:
        """A stem of a job that is done, as an audio file; in the request's format, or in ``format``."""
        return self._carry_out(protocol.result_file(job, "stem", self._patience, stem=name, format=format))

    def zip(self, job: Job | str) -> bytes:
        """Stems, mix and manifest of a job that is done."""
        return self._carry_out(protocol.result_file(job, "zip", self._patience))

    def save(self, job: Job | str, folder: str | Path) -> Path:
        """Save stems, mix and manifest of a done job to a folder; an earlier saved one is replaced."""
        return downloads.unpack(self.zip(job), folder)

    def cancel(self, job: Job | str) -> Job:
        """Cancel a job. A job that has ended keeps its state and its files."""
        return self._carry_out(protocol.cancel(job, self._patience))

    def delete(self, job: Job | str) -> None:
        """Delete a job and its files; cancel it first if it has not ended."""
        self._carry_out(protocol.delete(job, self._patience))

    def model(self) -> ModelCard:
        """The model that is being served: stems, rates, limits and digest."""
        return self._carry_out(protocol.model(self._patience))

    def ready(self) -> bool:
        """Whether the service accepts requests now; False also if no service answers."""
        return self._carry_out(protocol.ready())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _ask(self, make: Callable[[], requests.Ask]) -> Job:
        return self._asked(make())

    def _asked(self, ask: requests.Ask) -> Job:
        return self._carry_out(protocol.asked_job(ask, self._patience))

    def _carry_out(self, call: protocol.Steps[T]) -> T:
        answer: protocol.Answer = None
        while True:
            try:
                step = call.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(step, protocol.Pause):
                time.sleep(step.seconds)
                answer = None
                continue
            try:
                answer = self._http.send(step.build(self._http, self._timeout))
            except httpx.RequestError as error:
                answer = error


class AsyncStems(MusicRequests[Coroutine[Any, Any, Job]]):
    """:class:`Stems` with ``await``; files are read and written in threads."""

    def __init__(
        self,
        server: str = SERVER,
        *,
        key: str | None = None,
        timeout: float = 30.0,
        patience: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=address(server), headers=headers(key), transport=transport)
        self._timeout, self._patience = timeout, patience

    async def job(self, job: Job | str) -> Job:
        """See :meth:`Stems.job`."""
        return await self._asked(requests.look(job))

    async def wait(self, job: Job | str, seconds: float | None = None) -> Job:
        """See :meth:`Stems.wait`."""
        return await self._carry_out(protocol.wait(job, seconds, self._patience))

    async def events(self, job: Job | str, *, audio: bool = False) -> AsyncIterator[Event]:
        """See :meth:`Stems.events`; use ``async for``."""
        listening = Listening(job, audio, self._patience)
        while True:
            try:
                answer = await self._http.send(listening.ask().build(self._http, self._timeout), stream=True)
                try:
                    if not answer.is_success:
                        await answer.aread()
                    listening.opened(answer)
                    async for chunk in answer.aiter_bytes():
                        for event in listening.feed(chunk):
                            yield event
                        if listening.over:
                            return
                finally:
                    await answer.aclose()
            except (httpx.RequestError, RequestError) as error:
                listening.broke(error)
            await asyncio.sleep(listening.pause())

    async def mix(self, job: Job | str, format: AudioFormat | None = None) -> bytes:
        """See :meth:`Stems.mix`."""
        return await self._carry_out(protocol.result_file(job, "mix", self._patience, format=format))

    async def stem(self, job: Job | str, name: str, format: AudioFormat | None = None) -> bytes:
        """See :meth:`Stems.stem`."""
        return await self._carry_out(protocol.result_file(job, "stem", self._patience, stem=name, format=format))

    async def zip(self, job: Job | str) -> bytes:
        """See :meth:`Stems.zip`."""
        return await self._carry_out(protocol.result_file(job, "zip", self._patience))

    async def save(self, job: Job | str, folder: str | Path) -> Path:
        """See :meth:`Stems.save`."""
        return await asyncio.to_thread(downloads.unpack, await self.zip(job), folder)

    async def cancel(self, job: Job | str) -> Job:
        """See :meth:`Stems.cancel`."""
        return await self._carry_out(protocol.cancel(job, self._patience))

    async def delete(self, job: Job | str) -> None:
        """See :meth:`Stems.delete`."""
        await self._carry_out(protocol.delete(job, self._patience))

    async def model(self) -> ModelCard:
        """See :meth:`Stems.model`."""
        return await self._carry_out(protocol.model(self._patience))

    async def ready(self) -> bool:
        """See :meth:`Stems.ready`."""
        return await self._carry_out(protocol.ready())

    async def close(self) -> None:
        """See :meth:`Stems.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def _ask(self, make: Callable[[], requests.Ask]) -> Job:
        return await self._asked(await asyncio.to_thread(make))

    async def _asked(self, ask: requests.Ask) -> Job:
        return await self._carry_out(protocol.asked_job(ask, self._patience))

    async def _carry_out(self, call: protocol.Steps[T]) -> T:
        answer: protocol.Answer = None
        while True:
            try:
                step = call.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(step, protocol.Pause):
                await asyncio.sleep(step.seconds)
                answer = None
                continue
            try:
                answer = await self._http.send(step.build(self._http, self._timeout))
            except httpx.RequestError as error:
                answer = error
