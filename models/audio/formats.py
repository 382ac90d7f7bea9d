"""Which audio files are read, by the endings of their names: one list for catalogs, shell, HTTP and the studio."""

from __future__ import annotations

READ_SUFFIXES = (
    ".wav",
    ".flac",
    ".mp3",
    ".ogg",
    ".oga",
    ".opus",
    ".aiff",
    ".aif",
    ".aifc",
    ".caf",
    ".w64",
    ".au",
    ".m4a",
    ".aac",
    ".webm",
)
"""Lower-case endings of files that are decoded. The bytes say what a file is; its ending only, that it is audio."""


def is_audio_name(name: str) -> bool:
    """Whether a file's name ends as that of audio that is read, in whatever case."""
    return name.lower().endswith(READ_SUFFIXES)


def listed_suffixes() -> str:
    """The endings for a message."""
    return ", ".join(READ_SUFFIXES)
