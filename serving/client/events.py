"""Job events: parse server-sent events, and reconnect where a broken connection stopped."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import httpx
import numpy as np
from pydantic import ValidationError

from serving.client import requests
from serving.client.retries import RequestError, Trouble, failure, not_understood
from serving.schemas import Job

_LINE_END = re.compile(rb"\r\n|\r|\n")

# Nothing that the service sends comes near it.
_MAX_EVENT_BYTES = 2**24

# A connection that held this long was a good one: its end is no trouble, but a limit of a proxy or of silence.
_GOOD_S = 5.0


@dataclass(frozen=True)
class JobEvent:
    """The job: the first event, and again at each change of state."""

    job: Job
    kind: Literal["job"] = "job"


@dataclass(frozen=True)
class ProgressEvent:
    """Frames decoded so far, and the total."""

    frames: int
    of: int
    kind: Literal["progress"] = "progress"


@dataclass(frozen=True)
class AudioEvent:
    """About a second of one stem: int16 samples at ``rate`` Hz, from sample ``first`` on, before the gain."""

    stem: str
    first: int
    rate: int
    samples: np.ndarray
    kind: Literal["audio"] = "audio"


@dataclass(frozen=True)
class EndEvent:
    """The ended job; always the last event."""

    job: Job
    kind: Literal["end"] = "end"


Event: TypeAlias = JobEvent | ProgressEvent | AudioEvent | EndEvent


@dataclass(frozen=True)
class Message:
    """One server-sent event as it was written; ``id`` is the last id received, possibly with an earlier event."""

    event: str
    data: str
    id: str


class EventParser:
    """Parses server-sent events from chunks of bytes (the event stream format of the HTML standard)."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = self._id = last_id
        self._event, self._data = "", list[str]()
        self._rest, self._held = b"", 0
        self._first, self._after_return = True, False

    def feed(self, chunk: bytes) -> list[Message]:
        """The events that this chunk completes. RequestError for one beyond 16 MiB."""
        if not chunk:
            return []
        if self._after_return and chunk.startswith(b"\n"):  # the second half of a line's end
            chunk = chunk[1:]
            self._after_return = False
        self._after_return = chunk.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + chunk)
        if self._held + len(self._rest) > _MAX_EVENT_BYTES:
            raise not_understood("a stream of events: one of them has no end")
        return [message for line in lines if (message := self._line(line))]

    def _line(self, line: bytes) -> Message | None:
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            return self._dispatch()
        self._held += len(line)
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> Message | None:
        self.last_id = self._id
        message = Message(self._event or "message", "\n".join(self._data), self._id) if self._data else None
        self._event, self._data, self._held = "", [], 0
        return message


class Listening:
    """Receives a job's events over any number of connections, each event once; ``over`` after the last event.

    A connection is opened with :meth:`ask`, its answer given to :meth:`opened`, its bytes to :meth:`feed`; however
    it ends, :meth:`pause` says when to open the next.
    """

    def __init__(self, job: Job | str, audio: bool, patience: float) -> None:
        self._job, self._audio = job, audio
        self._trouble, self._parser = Trouble(patience), EventParser()
        self._broken: RequestError | None = None
        self._since = 0.0
        self.over = False

    def ask(self) -> requests.Ask:
        """The request for the remaining events."""
        # What a broken connection has left half said is said again by the next.
        self._parser = EventParser(self._parser.last_id)
        self._broken, self._since = None, time.monotonic()
        return requests.events(self._job, self._audio, self._parser.last_id)

    def opened(self, answer: httpx.Response) -> None:
        """Check the response; a failure is read to its end. RequestError if it is not an event stream."""
        if error := failure(answer):
            raise error
        if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "text/event-stream":
            raise not_understood("a stream of events", answer)

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that this chunk completes. RequestError for an invalid event."""
        heard: list[Event] = []
        for message in self._parser.feed(chunk):
            event = read_event(message)
            if event and not self.over:
                heard.append(event)
                self.over = isinstance(event, EndEvent)
        if heard:
            self._trouble.over()
        return heard

    def broke(self, error: httpx.RequestError | RequestError) -> None:
        """Record why a connection ended; raise errors that a retry cannot fix."""
        broken = error if isinstance(error, RequestError) else failure(error)
        assert broken is not None
        if not broken.passing:
            raise broken
        self._broken = broken

    def pause(self) -> float:
        """Seconds until the next connection; RequestError after the last retry."""
        refused = self._broken is not None and self._broken.status != 0
        if not refused and time.monotonic() - self._since >= _GOOD_S:
            self._trouble.over()
        ended = RequestError("The stream of events ended before the job did.", "Ask for the job.", passing=True)
        return self._trouble.pause(self._broken or ended)


def read_event(message: Message) -> Event | None:
    """Parse a message into an event; None for an unknown kind. RequestError if its data is not valid."""
    read = _READERS.get(message.event)
    try:
        return read(message.data) if read else None
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise not_understood(f"an event '{message.event}' that this client reads") from error


def _progress(data: str) -> Event:
    fields = json.loads(data)
    return ProgressEvent(int(fields["frames"]), int(fields["of"]))


def _audio(data: str) -> Event:
    fields: dict[str, Any] = json.loads(data)
    samples = np.frombuffer(base64.b64decode(fields["pcm"], validate=True), "<i2")
    return AudioEvent(str(fields["stem"]), int(fields["first"]), int(fields["rate"]), samples)


_READERS: dict[str, Callable[[str], Event]] = {
    "job": lambda data: JobEvent(Job.model_validate_json(data)),
    "progress": _progress,
    "audio": _audio,
    "end": lambda data: EndEvent(Job.model_validate_json(data)),
}
