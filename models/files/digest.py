"""The identity of a model on disk: equal files give equal digests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.errors import StemsError


def directory_digest(directory: Path | str) -> str:
    """Twelve hex digits computed from the names and bytes of a model's files, at any depth.

    READMEs and hidden files do not count, so a model's description may change. A single file is hashed the same way.
    StemsError ``missing`` if the path does not exist.
    """
    path = Path(directory)
    if not path.exists():
        raise StemsError(f"There is no model in '{path}'.", "Check the path.", code="missing", field="model")
    content = hashlib.blake2b(digest_size=6)
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith(".") and file.suffix.lower() != ".md":
            content.update(file.relative_to(path.parent if path.is_file() else path).as_posix().encode() + b"\0")
            with file.open("rb") as opened:
                content.update(hashlib.file_digest(opened, "blake2b").digest())
    return content.hexdigest()
