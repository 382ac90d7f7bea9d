"""Save a result as a folder."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

from models.errors import StemsError
from models.files.output_folder import check_folder, replacing
from models.files.output_listing import is_song

# No separators, no drive, no leading dot: such a name stays where it is put, on every system.
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def unpack(data: bytes, folder: str | Path) -> Path:
    """Write the files of a zip into ``folder``, all of them or none; a result that was saved there is replaced.

    Raises:
        StemsError: the folder holds anything else, or the zip is damaged or has names that are not plain.
    """
    check_folder(folder, ours=is_song)
    files = _files(data)
    with replacing(folder, sum(map(len, files.values())), listed=False, ours=is_song) as partial:
        for name, content in files.items():
            (partial / name).write_bytes(content)
    return Path(folder)


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
