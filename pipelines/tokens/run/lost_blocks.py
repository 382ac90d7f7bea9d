"""Ray's errors about the blocks that a stream has lost: whether a line is to blame, or the cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from models.errors import first_line
from models.files.storage import NO_ROOM, storage_reason


@dataclass(frozen=True)
class Loss:
    """A block that was lost.

    Args:
        own: whether its worker ran, and the block itself made it die or fail.
        said: Ray's error, in one line.
    """

    own: bool
    said: str

    @classmethod
    def of(cls, error: BaseException) -> Loss:
        """The loss that an error reports. The error is not kept: its traceback would keep actors alive."""
        *_, cause = _chain(error)
        return cls(is_its_own(error), f"{type(cause).__name__}, {first_line(cause)}")


_REPORTS_LOSSES = "ray.data._internal.execution.streaming_executor_state"
"""The logger to which Ray Data reports a block that it passes over; the stream itself reports nothing."""


@contextmanager
def watch_losses() -> Iterator[list[Loss]]:
    """A list that grows by each block lost while the context lasts."""
    losses: list[Loss] = []
    handler = _Gather(losses)
    reporter = logging.getLogger(_REPORTS_LOSSES)
    level, passes_on = reporter.level, reporter.propagate
    reporter.addHandler(handler)
    reporter.setLevel(logging.ERROR)
    reporter.propagate = False
    try:
        yield losses
    finally:
        reporter.removeHandler(handler)
        reporter.setLevel(level)
        reporter.propagate = passes_on


def is_ray_failure(error: BaseException) -> bool:
    """Whether Ray lost something, rather than our code failing."""
    import ray

    return isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError)


def is_its_own(error: BaseException) -> bool:
    """Whether a line's worker ran, and the line itself made it die or fail."""
    from ray import exceptions as ray

    died = (ray.WorkerCrashedError, ray.OutOfMemoryError, ray.RayTaskError, ray.UserCodeException)
    elsewhere = (
        *(ray.OutOfDiskError, ray.ObjectStoreFullError, ray.RaySystemError, ray.AuthenticationError),
        *(ray.ObjectLostError, ray.NodeDiedError, ray.LocalRayletDiedError, ray.RuntimeEnvSetupError, ray.RpcError),
    )
    own = False
    for each in _chain(error):
        unborn = isinstance(each, ray.RayActorError) and each.actor_init_failed
        if unborn or isinstance(each, elsewhere) or storage_reason(each) in NO_ROOM:
            return False
        own = own or isinstance(each, (*died, ray.RayActorError))
    return own


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what caused it."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [each.__cause__, getattr(each, "cause", None)]


class _Gather(logging.Handler):
    def __init__(self, losses: list[Loss]) -> None:
        super().__init__(logging.ERROR)
        self._losses = losses

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._losses.append(Loss.of(record.exc_info[1]))
