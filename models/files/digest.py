"""The identity of a model on disk: the same files, the same name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.errors import StemsError


def directory_digest(directory: Path | str) -> str:
    """Twelve hex digits from the names and bytes of a model's files, at any depth.

    READMEs and hidden files do not count, so a model may be described anew without becoming another. A single
    file is hashed the same way. StemsError ``missing`` where there is nothing.
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
