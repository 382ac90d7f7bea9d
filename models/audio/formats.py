"""Suffixes of readable audio files: one list for catalogs, shell, HTTP and the studio."""

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
"""Lower-case suffixes of readable files. A suffix only marks a file as audio; its bytes decide the format."""


def is_audio_name(name: str) -> bool:
    """Whether a file name has the suffix of readable audio, in any case."""
    return name.lower().endswith(READ_SUFFIXES)


def listed_suffixes() -> str:
    """The suffixes for a message."""
    return ", ".join(READ_SUFFIXES)
