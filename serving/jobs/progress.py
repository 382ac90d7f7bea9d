"""The progress of a job that runs."""

from __future__ import annotations

import json
import time

from serving.jobs.event_log import EventLog, Sound
from serving.jobs.job_store import JobRecord
from serving.jobs.job_timings import JobTimings
from serving.metrics import Meter
from serving.workers.protocol import Chunk


class ProgressPublisher:
    """Appends chunks to a job's event log: each sample once, however often the job starts over.

    Args:
        job: the job, as it was stored before it was started.
        event_log: its events.
        meter: counts what the chunks report.
        timings: its timings.
    """

    def __init__(self, job: JobRecord, event_log: EventLog, meter: Meter, timings: JobTimings) -> None:
        self.event_log, self.timings = event_log, timings
        self.frames, self.total_frames, self.attempts = 0, 0, job.attempts
        self._meter, self._created = meter, job.created
        self._samples = self._published = 0

    def restart(self) -> None:
        """The next chunk is the first of another attempt."""
        self._samples = 0
        self.timings.restart()

    def publish(self, chunk: Chunk) -> None:
        """Append what is new in a chunk."""
        self._meter.heard(chunk.load)
        self.timings.worker = chunk.timings
        if chunk.frames > self.frames:
            self.frames, self.total_frames = chunk.frames, chunk.total_frames
            self.event_log.append("progress", json.dumps({"frames": chunk.frames, "of": chunk.total_frames}))
        if not chunk.sound:
            return
        count = len(next(iter(chunk.sound.values())))
        if not self._published and count:
            self._meter.first_audio(time.time() - self._created)
        skip = max(0, self._published - self._samples)
        if skip < count:
            for stem, samples in chunk.sound.items():
                self.event_log.append("audio", Sound(stem, self._samples + skip, chunk.rate, samples[skip:]))
        self._samples += count
        self._published = max(self._published, self._samples)
