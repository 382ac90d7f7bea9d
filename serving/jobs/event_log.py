"""What happens to a job, for all who want to know, from its start or from where they left off."""

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
    """A stretch of one stem: mono samples from ``first`` on."""

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
    """One thing that happened; ``data`` is JSON, or a sound that becomes JSON when somebody wants it."""

    number: int
    kind: EventKind
    data: str | Sound

    def encode(self) -> bytes:
        """As a server-sent event."""
        data = self.data if isinstance(self.data, str) else self.data.text()
        return f"id: {self.number}\nevent: {self.kind}\ndata: {data}\n\n".encode()


class EventLog:
    """The events of one job, kept until the job has ended and nobody listens."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._news = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether nothing will follow."""
        return bool(self._events) and self._events[-1].kind == "end"

    def append(self, kind: EventKind, data: str | Sound) -> None:
        """Something happened."""
        if self.ended:
            return
        self._events.append(Event(len(self._events) + 1, kind, data))
        self._news.set()
        self._news = asyncio.Event()

    async def subscribe(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """What happened after that event, and what happens, to the end; all of it where there is no such event.

        So a client that was told of a job by a process which is gone is told of it again.
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
        """Wait until nothing will follow."""
        while not self.ended:
            await self._news.wait()
