"""Folders that commands write: checked before the work, whole or absent after it, never instead of others' files.

Before the work, :func:`check_folder` refuses a folder that holds any file which no list of ours names (see
`output_listing`), and one that cannot be written. After it, :func:`replacing` puts a new folder in the
place of one of ours: by one exchange of names where the system has it, so that at every moment one of them is there.
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
    """Where a path leads in the end, through ``.``, ``..`` and links.

    Raises:
        StemsError: it is empty, its links run in a circle, or it starts from a working directory that is gone.
    """
    if not str(path).strip():
        raise StemsError(f"The setting {field} is empty.", "Name a folder or a file.", field=field)
    try:
        return Path(path).resolve()
    except FileNotFoundError as error:
        raise StemsError(
            f"'{path}' starts from the working directory, which is gone.",
            "Change to a directory that exists, or give an absolute path.",
            field=field,
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise StemsError(f"'{path}' leads nowhere: {error}.", "Name another place.", field=field) from error


def check_folder(path: Path | str, field: str = "output", ours: Callable[[Path], bool] = is_model) -> Path:
    """Refuse, before the work, a folder that would lose files of others, or that cannot be written.

    Also removes what dead processes left half-written of it.

    Args:
        path: of the folder; it need not exist.
        field: the setting that names it.
        ours: whether a folder that is there, and not empty, holds what this command may replace.

    Returns:
        The folder, resolved.

    Raises:
        StemsError: what is there is not ours, or nothing can be written there.
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
    """Refuse, before the work, a file that is there and not ours, or that cannot be written.

    Raises:
        StemsError: naming it.
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
    """An empty folder to fill, which then takes the place of ``folder``; nothing is left of it after an error.

    Args:
        folder: to be made, or replaced if it is ours.
        needs: bytes that will be written, as far as that is known.
        field: the setting that names the folder.
        listed: whether to write a list of the files; a song's manifest is one already.
        ours: as of :func:`check_folder`.

    Raises:
        StemsError: it cannot be written. If others put files there meanwhile, the new folder is kept beside it.
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
    return StemsError(
        f"Files of others came into '{target}' meanwhile.", f"What was made is in '{kept}'.", field=field
    )


def _settle(staged: Path, target: Path, *, inside: bool) -> None:
    """Put a new folder in its place."""
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
    """Let two folders change their names in one step; False where the system cannot."""
    call = getattr(ctypes.CDLL(None), "renameat2", None)
    return call is not None and not call(
        *(_AT_FDCWD, os.fsencode(staged), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE)
    )


def _swap(staged: Path, target: Path) -> None:
    """The same in two steps; what a crash between them leaves, :func:`clean_up` brings back."""
    old = hidden(target, OLD)
    target.rename(old)
    try:
        staged.rename(target)
    except OSError:
        old.rename(target)
        raise
    discard(old)


def _fill(staged: Path, target: Path) -> None:
    """Replace the files of a folder that must stay what it is: a mount, or somebody's working directory.

    New files take their places one by one, the list last; then files that the new list has not are removed.
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
    """Whether another folder can take a folder's name: not for mounts, nor where a shell stands."""
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
    """Make something in a folder, or in the nearest parent that exists, and remove it."""
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise StemsError(f"'{nearest}' is a file, so '{target}' cannot be made.", "Name another place.", field=field)
    with suppress(FileNotFoundError):
        target.lstat()  # a name may be too long
    probe = hidden(nearest / target.name)
    probe.mkdir()
    probe.rmdir()
