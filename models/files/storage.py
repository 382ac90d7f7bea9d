"""Errors for failed writes: no space, no permission, a broken disk; as errors that a user can fix."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import StemsError

CODE = "storage"
"""Code of these errors."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset(
    {
        *(errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE),
        *(errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EBUSY, errno.EFBIG),
    }
)
# Libraries that write through C, C++ or Rust report the system's error only as text.
_TEXTS = {
    os.strerror(errno.ENOSPC): errno.ENOSPC,
    os.strerror(errno.EDQUOT): errno.EDQUOT,
    os.strerror(errno.EROFS): errno.EROFS,
    "PytorchStreamWriter failed writing file": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
}


def storage_reason(error: BaseException) -> int | None:
    """The system's error number if ``error`` or its cause is a failed write; else None."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in NO_ROOM | _REFUSED:
            return one.errno
        said = "" if isinstance(one, StemsError) else str(getattr(one, "orig", one))  # without a statement's values
        for text, number in _TEXTS.items():
            if text in said:
                return number
        failures = getattr(one, "failures", None)  # of a distributed checkpoint: one per worker
        nested = [part[0] for part in failures.values()] if isinstance(failures, dict) else []
        pending += [one.__cause__, one.__context__, *(part for part in nested if isinstance(part, BaseException))]
    return None


def storage_error(
    error: BaseException, folder: Path | str, needs: float = 0, field: str = "output"
) -> StemsError | None:
    """The error for a folder that could not be written; None if ``error`` has another cause.

    Args:
        error: the error that was raised.
        folder: the folder of the output.
        needs: bytes of the whole output, as far as known.
        field: the setting that names the folder.
    """
    reason = storage_reason(error)
    if reason is None or (reason not in NO_ROOM and _is_elsewhere(error, Path(folder))):
        return None
    if reason not in NO_ROOM:
        said = os.strerror(reason).lower()
        return StemsError(
            f"Nothing can be written to '{folder}': {said}.", "Name another folder, or change its permissions.",
            code=CODE, field=field,
        )  # fmt: skip
    what = f"The disk of '{folder}' is full" if reason == errno.ENOSPC else f"Your quota on '{folder}' is used up"
    free = free_bytes(folder) if reason == errno.ENOSPC else None
    room = f"about {human_bytes(needs)} are needed" if needs else "there is not enough space"
    left = "" if free is None else f", and {human_bytes(free)} are free"
    return StemsError(
        f"{what}: {room}{left}.", "Free some space, or name a folder on another disk.",
        code=CODE, field=field,
    )  # fmt: skip


def _is_elsewhere(error: BaseException, folder: Path) -> bool:
    """Whether an error names a file that is neither in a folder nor beside it."""
    name = getattr(error, "filename", None)
    return isinstance(name, str) and not Path(name).absolute().is_relative_to(folder.absolute().parent)


@contextmanager
def storage_errors(folder: Path | str, needs: float = 0, field: str = "output") -> Iterator[None]:
    """Turn errors that :func:`storage_error` knows into StemsErrors; others pass unchanged."""
    try:
        yield
    except StemsError:
        raise
    except Exception as error:
        told = storage_error(error, folder, needs, field)
        if told is None:
            raise
        raise told from error


def free_bytes(folder: Path | str) -> int | None:
    """Free bytes of a disk for this user; None where the file system does not report them."""
    place = Path(folder)
    for parent in (place, *place.parents):
        try:
            found = shutil.disk_usage(parent)
        except OSError:
            continue
        return found.free if found.total else None
    return None


def bytes_in(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def human_bytes(count: float) -> str:
    """Bytes for a person: ``"2.4 MB"``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.1 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
