"""Hidden names for files and folders while they are written, by which the next run finds those of dead processes.

``.NAME.HERE-PID-START-N.partial`` is being written by process PID of machine HERE, which started at START; the same
with ``.old`` is the version to be replaced. For a name of another machine (or container) on a shared file system, or
of an older release, the writer's state is unknown: it counts as dead once nothing has changed for a day.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

PARTIAL, OLD = "partial", "old"
FORGOTTEN_S = 24 * 3600.0

_NAME = re.compile(r"\.(?P<name>.+)\.(?P<here>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-\d+\.(?P<kind>partial|old)")
_EARLIER = re.compile(r"\.(?P<name>.+)\.\d+\.(?P<kind>partial)")
_LONGEST = 120
_SAME_START_S = 2
_count = itertools.count()


def hidden(path: Path, kind: str = PARTIAL) -> Path:
    """A new name beside ``path`` for its next or its previous version."""
    return path.with_name(f".{_label(path)}.{_here()}-{_this()}-{next(_count)}.{kind}")


def is_hidden(name: str) -> bool:
    """Whether this name is such a hidden name."""
    return bool(_NAME.fullmatch(name) or _EARLIER.fullmatch(name))


def clean_up(path: Path, now: float | None = None) -> None:
    """Remove incomplete versions of ``path`` of dead processes; restore a version that one had moved away.

    Args:
        path: a file or folder; it need not exist.
        now: seconds since 1970.
    """
    with suppress(OSError):
        names = [child.name for child in path.parent.iterdir() if child.name.startswith(".")]
        for name in names:
            found = _NAME.fullmatch(name) or _EARLIER.fullmatch(name)
            left = path.parent / name
            if found and found["name"] == _label(path) and _is_dead(found, left, time.time() if now is None else now):
                if found["kind"] == OLD and not os.path.lexists(path):
                    left.rename(path)
                else:
                    discard(left)


def discard(path: Path) -> None:
    """Remove a file or a folder as far as possible, without errors."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _label(path: Path) -> str:
    name = path.name
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else hashlib.blake2b(encoded, digest_size=8).hexdigest()


def _is_dead(found: re.Match[str], left: Path, now: float) -> bool:
    written = found.groupdict()
    if written.get("here") == _here():
        start = _started(int(written["pid"]))
        return start is None or abs(start - int(written["start"])) > _SAME_START_S
    return now - _changed(left) > FORGOTTEN_S


def _changed(path: Path) -> float:
    """Time of the last change in a file or folder, in seconds since 1970."""
    return max(part.lstat().st_mtime for part in (path, *path.rglob("*")))


def _this() -> str:
    return _process(os.getpid())  # the id changes when a process forks


@cache
def _process(pid: int) -> str:
    return f"{pid}-{_started(pid)}"


@cache
def _here() -> str:
    """The machine, or the container on it: the scope of process ids."""
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path, but the name of a namespace
    except OSError:
        space = ""
    return hashlib.blake2b(f"{socket.gethostname()} {space}".encode(), digest_size=4).hexdigest()


def _started(pid: int) -> int | None:
    """Start time of a process, in seconds since 1970; None if there is no such process."""
    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None
