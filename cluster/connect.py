"""Which Ray a command uses: one of its own, or the cluster that RAY_ADDRESS names."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from cluster.address import reach
from cluster.own import OwnRay, check_folder, provide_token
from cluster.quiet import quiet_driver
from models.errors import StemsError

ADDRESS = "RAY_ADDRESS"
"""The environment variable that names a cluster; ``ray job submit`` sets it, too."""

log = logging.getLogger(__name__)


def named_cluster() -> str:
    """The cluster in RAY_ADDRESS; empty if the command must start its own Ray."""
    address = os.environ.get(ADDRESS, "").strip()
    return "" if address == "local" else address


def connect() -> bool:
    """Join the cluster of RAY_ADDRESS, or start a Ray of this process's own; nothing where there is one already.

    Without RAY_ADDRESS no cluster is joined, whatever runs on this machine. A Ray of its own ends with the process.

    Returns:
        Whether it started one, which ends with this process.

    Raises:
        StemsError: no Ray answers at RAY_ADDRESS within 5 s, or none can be started here.
        KeyboardInterrupt: on SIGINT and SIGTERM meanwhile.
    """
    import ray

    if ray.is_initialized():
        return False
    named = named_cluster()
    try:
        if named:
            _init(reach(named))
        else:
            check_folder()
            provide_token()
            with OwnRay():
                _init("local")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise _refused(named, error) from error
    return not named


def _init(address: str) -> None:
    """Start or join, quietly, and leave the signals as they were: Ray takes SIGTERM for itself."""
    import ray

    debug = log.isEnabledFor(logging.DEBUG)
    with _signals(), nullcontext() if debug else quiet_driver():
        ray.init(address, log_to_driver=debug, logging_level=logging.INFO if debug else logging.ERROR)


@contextmanager
def _signals() -> Iterator[None]:
    """KeyboardInterrupt for SIGINT and SIGTERM meanwhile, even where Python drops it, as it does while it forks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        except SystemExit as ended:  # Ray's own answer to SIGTERM
            raise KeyboardInterrupt from ended
        finally:
            signal.signal(signal.SIGTERM, handler)
            signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):
            if {signal.SIGINT, signal.SIGTERM} & set(reader.recv(64)):
                raise KeyboardInterrupt


def _refused(named: str, error: Exception) -> StemsError:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if named:
        return StemsError(
            f"The Ray at {ADDRESS}={named} cannot be joined: {said[:300].rstrip('.')}.",
            f"Check the cluster with `ray status`, or unset {ADDRESS} to use this machine alone.",
            code="cluster",
        )
    return StemsError(
        f"Ray cannot be started here: {said[:300].rstrip('.')}.",
        "Look into the newest folder of $RAY_TMPDIR/ray, or /tmp/ray, for its logs.",
        code="cluster",
    )
