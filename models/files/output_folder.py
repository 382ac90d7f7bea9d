"""Output folders of commands: checked before the work, complete or absent after it, never replacing foreign files.

Before the work, :func:`check_folder` refuses a folder with any file that this project's lists do not name (see
`output_listing`), and a folder that cannot be written. After the work, :func:`replacing` replaces the folder: by one
atomic exchange of names where the system supports it, so that either the old or the new folder always exists.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import StemsError
from models.files.output_listing import LIST, MANIFEST, entries, is_model, listed_files, write_list
from models.files.partial import OLD, clean_up, discard, hidden, is_hidden
from models.files.storage import storage_errors

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # <fcntl.h>, <linux/fs.h>
_NOT_BY_NAME = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EINVAL})


def resolve_output(path: Path | str, field: str = "output") -> Path:
    """Resolve a path through ``.``, ``..`` and links.

    Raises:
        StemsError: it is empty, its links form a circle, or the working directory no longer exists.
    """
    if not str(path).strip():
        raise StemsError(f"The setting {field} is empty.", "Name a folder or a file.", field=field)
    try:
        return Path(path).resolve()
    except FileNotFoundError as error:
        raise StemsError(
            f"'{path}' is relative to the working directory, which no longer exists.",
            "Change to a directory that exists, or give an absolute path.",
            field=field,
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise StemsError(f"'{path}' cannot be resolved: {error}.", "Name another path.", field=field) from error


def check_folder(path: Path | str, field: str = "output", ours: Callable[[Path], bool] = is_model) -> Path:
    """Refuse, before the work, a folder that holds foreign files or cannot be written.

    Also removes its incomplete files of dead processes.

    Args:
        path: path of the folder; it need not exist.
        field: the setting that names the folder.
        ours: tests whether an existing, non-empty folder holds only files that this command may replace.

    Returns:
        The folder, resolved.

    Raises:
        StemsError: the folder holds foreign files, or cannot be written.
    """
    folder = resolve_output(path, field)
    clean_up(folder)
    clean_up(folder / folder.name)
    with storage_errors(folder, field=field):
        if folder.is_dir():
            there = [child for child in folder.iterdir() if not is_hidden(child.name)]
            if there and not ours(folder):
                raise _not_ours(folder, field)
        elif os.path.lexists(folder):
            raise StemsError(f"'{folder}' is a file.", "Name a folder.", field=field)
        _check_writable(folder if folder.is_dir() else folder.parent, folder, field)
    return folder


def check_file(path: Path | str, field: str, ours: Callable[[Path], bool]) -> Path:
    """Refuse, before the work, an existing foreign file, or a file that cannot be written.

    Raises:
        StemsError: names the file.
    """
    file = resolve_output(path, field)
    clean_up(file)
    with storage_errors(file.parent, field=field):
        if file.is_dir():
            raise StemsError(f"'{file}' is a folder.", "Name a file.", field=field)
        if os.path.lexists(file) and not ours(file):
            raise StemsError(
                f"'{file}' is a file that this command did not write.", "Name another file.", field=field
            )
        _check_writable(file.parent, file, field)
    return file


@contextmanager
def replacing(
    folder: Path | str,
    needs: float = 0,
    field: str = "output",
    *,
    listed: bool = True,
    ours: Callable[[Path], bool] = is_model,
) -> Iterator[Path]:
    """An empty folder to fill, which then replaces ``folder``; after an error nothing of it remains.

    Args:
        folder: the folder to create, or to replace if it is ours.
        needs: bytes to write, as far as known.
        field: the setting that names the folder.
        listed: whether to write a list of the files; a song's manifest already is one.
        ours: see :func:`check_folder`.

    Raises:
        StemsError: it cannot be written. If foreign files appeared in it meanwhile, the new folder is kept beside it.
    """
    target = resolve_output(folder, field)
    with storage_errors(target, needs, field):
        target.parent.mkdir(parents=True, exist_ok=True)
        inside = target.is_dir() and not _by_name(target)
        staged = hidden(target / target.name if inside else target)
        staged.mkdir()
    try:
        with storage_errors(target, needs, field):
            yield staged
            if listed:
                write_list(staged)
            if target.is_dir() and not ours(target):
                raise _kept_beside(staged, target, field)
            _settle(staged, target, inside=inside)
    finally:
        discard(staged)


def _kept_beside(staged: Path, target: Path, field: str) -> StemsError:
    kept = _free_name(target)
    staged.rename(kept)
    return StemsError(f"Other files appeared in '{target}' meanwhile.", f"The result is in '{kept}'.", field=field)


def _settle(staged: Path, target: Path, *, inside: bool) -> None:
    """Move a new folder to its final path."""
    if inside:
        _fill(staged, target)
    elif not os.path.lexists(target):
        staged.rename(target)
    elif not _exchange(staged, target):
        try:
            _swap(staged, target)
        except OSError as error:
            if error.errno not in _NOT_BY_NAME:
                raise
            copy = hidden(target / target.name)
            try:
                shutil.copytree(staged, copy)
                _fill(copy, target)
            finally:
                discard(copy)


def _exchange(staged: Path, target: Path) -> bool:
    """Swap the names of two folders in one step; False where the system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    return call is not None and not call(
        *(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    )


def _swap(staged: Path, target: Path) -> None:
    """The same in two steps; after a crash between them, :func:`clean_up` restores the old folder."""
    old = hidden(target, OLD)
    target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        old.rename(target)
        raise
    discard(old)


def _fill(staged: Path, target: Path) -> None:
    """Replace the files of a folder that must itself stay: a mount, or a shell's working directory.

    New files replace old ones one by one, the list last; then files that the new list does not name are removed.
    """
    before = [name for name in entries(target) if not is_hidden(name.split("/")[0])]
    after = entries(staged)
    lists_last = sorted(after, key=lambda name: name in (LIST, MANIFEST))
    for name in lists_last:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).replace(target / name)
    for name in sorted(set(before) - set(after), reverse=True):
        place = target / name
        discard(place)
        with suppress(OSError):
            while place.parent != target:
                place = place.parent
                place.rmdir()


def _by_name(folder: Path) -> bool:
    """Whether another folder can take this folder's name: not for mounts, nor for working directories."""
    try:
        here = Path.cwd()
    except OSError:
        here = Path("/")
    stands_in = here == folder or folder in here.parents
    return not (stands_in or folder.is_mount() or not os.access(folder.parent, os.W_OK | os.X_OK))


def _not_ours(folder: Path, field: str) -> StemsError:
    known = listed_files(folder)
    names = entries(folder)
    other = next((name for name in names if name not in known), names[0])
    return StemsError(
        f"'{folder}' holds files that this command did not write, such as '{other}'; they would be lost.",
        "Name another folder.",
        field=field,
    )


def _free_name(target: Path) -> Path:
    numbered = (target.with_name(f"{target.name}-{number}") for number in range(2, 10_000))
    return next(path for path in numbered if not os.path.lexists(path))


def _check_writable(folder: Path, target: Path, field: str) -> None:
    """Create and remove an entry in a folder, or in its nearest existing parent."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise StemsError(f"'{nearest}' is a file; '{target}' cannot be created.", "Name another path.", field=field)
    with suppress(FileNotFoundError):
        target.lstat()  # a name may be too long
    probe = hidden(nearest / target.name)
    probe.mkdir()
    probe.rmdir()
