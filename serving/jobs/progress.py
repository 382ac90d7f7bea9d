"""What has been heard of a job that is being played."""

from __future__ import annotations

import json
import time

from serving.jobs.event_log import EventLog, Sound
from serving.metrics import Meter
from serving.workers.protocol import Chunk


class ProgressPublisher:
    """Passes chunks on to those who listen, each sample once, however often a song is begun.

    Args:
        event_log: to whom.
        meter: what is measured.
        asked: when the song was asked for, in seconds since 1970.
    """

    def __init__(self, event_log: EventLog, meter: Meter, asked: float) -> None:
        self.event_log = event_log
        self.frames, self.of = 0, 0
        self._meter, self._asked = meter, asked
        self._samples = self._told = 0

    def again(self) -> None:
        """The song is begun anew."""
        self._samples = 0

    def publish(self, chunk: Chunk) -> None:
        """Pass a chunk on."""
        self._meter.heard(chunk.load)
        if chunk.frames > self.frames:
            self.frames, self.of = chunk.frames, chunk.of
            self.event_log.append("progress", json.dumps({"frames": chunk.frames, "of": chunk.of}))
        if not chunk.sound:
            return
        count = len(next(iter(chunk.sound.values())))
        if not self._told and count:
            self._meter.first_audio(time.time() - self._asked)
        skip = max(0, self._told - self._samples)
        if skip < count:
            for stem, samples in chunk.sound.items():
                self.event_log.append("audio", Sound(stem, self._samples + skip, chunk.rate, samples[skip:]))
        self._samples += count
        self._told = max(self._told, self._samples)
