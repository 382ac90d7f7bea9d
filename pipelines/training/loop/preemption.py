"""Notice of preemption: this process is about to end, with time for one more checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Notice:
    """A source of notices; this one never gives any. ``stops``: training ends after the checkpoint."""

    stops = False

    def given(self) -> bool:
        """Whether notice was given. With several workers, all call it at the same steps and get the same result."""
        return False


class TerminationNotice(Notice):
    """SIGTERM, by which a machine or a scheduler ends a process, caught within this context."""

    stops = True

    def __init__(self) -> None:
        self._given = False

    def given(self) -> bool:
        """Whether the signal came."""
        return self._given

    def __enter__(self) -> TerminationNotice:
        # Only the main thread can handle signals in Python; in other threads the default stays.
        self._listens = threading.current_thread() is threading.main_thread()
        if self._listens:
            self._before = signal.signal(signal.SIGTERM, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listens:
            signal.signal(signal.SIGTERM, self._before)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._given = True


class PreemptionNotice(Notice):
    """Ray's notice that a worker's machine is being drained, such as a reclaimed spot instance."""

    def given(self) -> bool:
        """Whether any worker's machine will go; a collective call of all workers."""
        from ray import train

        return train.get_preemption_info() is not None
