"""A Ray for one command alone: where it keeps its sockets, and its token."""

from __future__ import annotations

import atexit
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from models.errors import StemsError

_LONGEST_SOCKET = 107
"""Bytes of the path of a Unix socket on Linux, and its end with 0."""


class OwnRay:
    """Wraps the start of Ray, so that Ray and all its processes end with this process.

    Ray itself leaves some of its processes running for a while, or for good, when it is interrupted as it starts.
    """

    def __init__(self) -> None:
        self._before: set[int] = set()
        self._roots: list[psutil.Process] = []

    def __enter__(self) -> None:
        self._before = {child.pid for child in psutil.Process().children()}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._roots = [child for child in psutil.Process().children() if child.pid not in self._before]
        if kind is None:
            _STARTED.append(self)
            atexit.register(self.end)
        else:
            self.kill()

    @property
    def lives(self) -> bool:
        """Whether all that it consists of still runs."""
        return all(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in self._roots)

    def end(self) -> None:
        """Stop Ray cleanly. Runs before Ray's own exit handler."""
        import ray

        family = self._family()
        ray.shutdown()
        _kill(family)

    def kill(self) -> None:
        """End it at once."""
        _kill(self._family())

    def _family(self) -> list[psutil.Process]:
        below = []
        for root in self._roots:
            with suppress(psutil.NoSuchProcess):
                below += root.children(recursive=True)
        return [*self._roots, *below]


_STARTED: list[OwnRay] = []


def own_ray_lives() -> bool:
    """Whether the Ray that this process has started still runs."""
    return bool(_STARTED) and all(ray.lives for ray in _STARTED)


def leave(status: int) -> None:
    """End the process at once where its own Ray was ended before it, as by a signal to the whole process group.

    Ray's own end would then wait half a minute for what is gone.
    """
    for ray in _STARTED:
        if not ray.lives:
            ray.kill()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=2.0)


def check_folder() -> None:
    """Ray's folder for sockets and logs; Ray itself fails after a minute, or with a traceback.

    Raises:
        StemsError: its files cannot be where RAY_TMPDIR or TMPDIR say.
    """
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if name in os.environ), "")
    folder = Path(os.environ.get(variable, "/tmp")).absolute() / "ray"
    named = f"{variable}={os.environ[variable]}" if variable else str(folder)
    longest = f"{folder}/session_{'0' * 26}_{os.getpid()}/sockets/plasma_store"
    if len(os.fsencode(longest)) > _LONGEST_SOCKET:
        most = _LONGEST_SOCKET - (len(os.fsencode(longest)) - len(os.fsencode(folder.parent)))
        raise StemsError(
            f"{named} is too long for Ray's sockets: it has {len(os.fsencode(folder.parent))} bytes, and at most "
            f"{most} are possible.",
            "Set RAY_TMPDIR to a shorter one, such as /tmp.",
            code="folder",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(named, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(named, f"{folder} is not writable")
    if variable:
        os.environ[variable] = str(folder.parent)  # with a relative one Ray waits without end


def _unusable(named: str, reason: str) -> StemsError:
    return StemsError(
        f"Ray cannot keep its files in {named}: {reason}.",
        "Set RAY_TMPDIR to a folder that you may write to, with a short path.",
        code="folder",
    )


def provide_token() -> None:
    """A token where Ray cannot write the one that it makes: its own place is ~/.ray/auth_token."""
    if {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        return
    folder = Path.home() / ".ray"
    kept = folder / "auth_token"
    if kept.is_file() and os.access(kept, os.R_OK):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK) and not kept.exists()
    except OSError:
        writable = False
    if not writable:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
