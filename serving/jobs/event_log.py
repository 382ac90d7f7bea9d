"""The events of a job, for any number of subscribers, from the start or from where a subscriber left off."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.audio.files import in_16_bits

EventKind = Literal["job", "progress", "audio", "end"]


@dataclass(frozen=True)
class Sound:
    """Mono samples of one stem, from sample ``first`` on."""

    stem: str
    first: int
    rate: int
    samples: np.ndarray

    def text(self) -> str:
        """As JSON, the samples as 16-bit little-endian integers in base64."""
        pcm = base64.b64encode(in_16_bits(self.samples).astype("<i2").tobytes()).decode()
        return json.dumps({"stem": self.stem, "first": self.first, "rate": self.rate, "pcm": pcm})


@dataclass(frozen=True)
class Event:
    """One event; ``data`` is JSON, or a sound that becomes JSON when a client asks for sound."""

    number: int
    kind: EventKind
    data: str | Sound

    def encode(self) -> bytes:
        """As a server-sent event."""
        data = self.data if isinstance(self.data, str) else self.data.text()
        return f"id: {self.number}\nevent: {self.kind}\ndata: {data}\n\n".encode()


class EventLog:
    """The events of one job, kept until the job has ended and the last subscriber has left."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Event()
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether no event will follow."""
        return self._closed or (bool(self._events) and self._events[-1].kind == "end")

    def append(self, kind: EventKind, data: str | Sound) -> None:
        """Add an event, unless the log has ended."""
        if not self.ended:
            self._events.append(Event(len(self._events) + 1, kind, data))
            self._wake()

    def close(self) -> None:
        """End the log without an ``end`` event: this process no longer knows what happens to the job."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def subscribe(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events after number ``after``, past and future, to the end of the log.

        If this log has no such event, all of them: the client has followed a process that is gone.
        """
        at = after if 0 < after <= len(self._events) else 0
        while True:
            news = self._news
            for event in self._events[at:]:
                yield event
                at = event.number
            if self.ended and at >= len(self._events):
                return
            if at >= len(self._events):
                await news.wait()

    async def until_end(self) -> None:
        """Wait until no event will follow."""
        while not self.ended:
            await self._news.wait()
