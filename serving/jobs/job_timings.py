"""The timings of one job over all its attempts."""

from __future__ import annotations

import time
from collections.abc import Mapping

from serving.jobs.job_store import JobRecord
from serving.timings import Seconds, Stage, StageClock, total


class JobTimings:
    """Seconds of each stage of the current attempt, beside what waiting and lost attempts have taken.

    So the stages of a job add up to no more than the time from its acceptance to its end.

    Args:
        job: the job, as it was stored before it was started.
        now: when it is started, in seconds since 1970.
    """

    def __init__(self, job: JobRecord, now: float) -> None:
        stored = job.timings or {}
        if job.started is None:
            self._before: Seconds = {"waiting": now - job.created}
        else:  # the service that ran it is gone
            self._before = {"lost": stored.get("lost", 0.0) + now - job.started}
            if "waiting" in stored:
                self._before["waiting"] = stored["waiting"]
        self.clock = StageClock()
        self.worker: Mapping[Stage, float] = {}
        """What the replica measured, as of its last chunk."""
        self._attempt_began = time.monotonic()

    @property
    def seconds(self) -> Seconds:
        """Seconds by stage, as of now."""
        return total(self._before, self.clock.seconds, self.worker)

    def restart(self) -> None:
        """Count the current attempt as lost, and begin the next."""
        now = time.monotonic()
        self._before["lost"] = self._before.get("lost", 0.0) + now - self._attempt_began
        self._attempt_began = now
        self.clock, self.worker = StageClock(), {}
