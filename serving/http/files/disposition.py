"""The name under which a browser saves a file: ``Content-Disposition`` (RFC 6266)."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath
from urllib.parse import quote

_MOST_CHARACTERS = 50
# What some file system does not take, or takes for something else.
_NOT_IN_NAMES = frozenset('<>:"/\\|?*%')


def disposition(file: str, prompt: str, *, inline: bool = False) -> str:
    """The header for ``bass.wav`` of a song: saved as ``<prompt> bass.wav``, or shown where it is if ``inline``.

    ``filename`` is for clients that know ASCII only, ``filename*`` for all others.
    """
    path = PurePosixPath(file)
    title = _title(prompt)
    name = f"{title} {file}" if title else file
    kind = "inline" if inline else "attachment"
    return f"{kind}; filename=\"{path.name}\"; filename*=UTF-8''{quote(name, safe='')}"


def _title(prompt: str) -> str:
    """The beginning of a prompt as a file name, cut between words."""
    kept = "".join(
        " " if character in _NOT_IN_NAMES or unicodedata.category(character)[0] in "CZ" else character
        for character in unicodedata.normalize("NFC", prompt)
    )
    words = " ".join(kept.split()).lstrip(".-~ ")
    if len(words) > _MOST_CHARACTERS:
        words = words[: _MOST_CHARACTERS + 1].rpartition(" ")[0] or words[:_MOST_CHARACTERS]
    return words.rstrip(". ")
