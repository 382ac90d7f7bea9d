"""A result as a folder."""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from pathlib import Path

from models.audio import FORMATS
from models.errors import StemsError

MANIFEST = "manifest.json"

# No separators, no drive, no leading dot: such a name stays where it is put, on every system.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

_SUFFIXES = frozenset({*(f".{format}" for format in FORMATS), ".json", ".npy"})


def unpack(data: bytes, folder: str | Path) -> Path:
    """Write the files of a zip into ``folder``, all of them or none; a result that was saved there is replaced.

    Raises:
        StemsError: the folder holds anything else, or the zip is damaged or has names that are not plain.
    """
    folder = Path(folder)
    check_free(folder)
    files = _files(data)
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def check_free(folder: Path) -> None:
    """StemsError for a place with anything in it that is not of a saved result: it would be lost."""
    if folder.is_dir():
        inside = list(folder.iterdir())
        ours = all(file.is_file() and file.suffix.lower() in _SUFFIXES for file in inside)
        if not inside or (ours and (folder / MANIFEST).exists()):
            return
    elif not folder.exists():
        return
    raise StemsError(f"'{folder}' is there, and is no saved result.", "Name another folder.", field="output")


def _files(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            for name in names:
                if not _PLAIN.fullmatch(name):
                    raise StemsError(
                        f"The zip has a file {name[:80]!r}.", "Nothing was written: its name is not plain."
                    )
            return {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise StemsError(f"The zip is damaged: {error}.", "Fetch it again.", code="unreadable") from error
