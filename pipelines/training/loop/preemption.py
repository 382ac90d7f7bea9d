"""Notice that this process is about to be taken away: time for one more checkpoint."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Notice:
    """None ever comes. ``stops`` says whether training must end after the checkpoint, or goes on while it can."""

    stops = False

    def given(self) -> bool:
        """Whether notice was given. With several workers, all ask at the same steps and get the same answer."""
        return False


class TerminationNotice(Notice):
    """The signal by which a machine or a scheduler asks a process to end (SIGTERM), caught while this is entered."""

    stops = True

    def __init__(self) -> None:
        self._given = False

    def given(self) -> bool:
        """Whether the signal came."""
        return self._given

    def __enter__(self) -> TerminationNotice:
        # Python lets only the main thread listen to signals; elsewhere the process ends as it would have.
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
    """Ray's word that the machine of one of the workers is being drained, such as a spot instance reclaimed."""

    def given(self) -> bool:
        """Whether any worker's machine is to go; asks all workers together."""
        from ray import train

        return train.get_preemption_info() is not None
