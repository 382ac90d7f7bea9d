"""What Ray would print on a command's screen: pages on lost nodes, notes of its C++ core. It goes to the log instead.

What a user can act on is said by :mod:`cluster.watch` in one line. Ray has no setting for either, so two of its
private names are replaced here (Ray 2.60).
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LEVEL = "RAY_BACKEND_LOG_LEVEL"

log = logging.getLogger("cluster.ray")


@contextmanager
def quiet_driver() -> Iterator[None]:
    """While Ray is being started or joined: keep what it prints in this process off the screen, from now on."""
    from ray._private import worker

    connect = worker.connect

    def connect_quietly(*args: Any, **options: Any) -> Any:
        # Only now: the processes of a Ray that was just started write logs of their own, at their own level.
        if _LEVEL in os.environ:
            return connect(*args, **options)
        os.environ[_LEVEL] = "fatal"
        try:
            with _without_note():
                return connect(*args, **options)
        finally:
            del os.environ[_LEVEL]

    worker.connect, worker.print_to_stdstream = connect_quietly, _to_log
    try:
        yield
    finally:
        worker.connect = connect


@contextmanager
def _without_note() -> Iterator[None]:
    """Meanwhile, leave out the line in which Ray's C++ core notes its log level; the rest comes a moment later."""
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(screen, 2)
            os.close(screen)
            held.seek(0)
            for line in held:
                if _LEVEL.encode() not in line:
                    os.write(2, line)


def _to_log(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    """In place of Ray's function that prints messages of a cluster's machines."""
    for line in data.get("lines", ()):
        log.debug("%s", str(line).splitlines()[0] if str(line).strip() else "")
