"""Separated stems as files: one folder a song, one FLAC a stem, on a disk or in an object store."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import numpy as np

from models.audio import Audio, encode_audio, in_16_bits, read_audio
from pipelines.catalog.files import write_bytes

_TITLE_BYTES = 100


def as_stored(audio: Audio) -> Audio:
    """The samples that a 16-bit file holds of a sound.

    Stems are rounded before they are tokenized, whether they are kept or not: so a stem file gives, at any later
    time, the very codes that the song got.
    """
    return Audio(in_16_bits(audio.samples).astype(np.float32) / 32768.0, audio.rate)


def write_stems(root: str, title: str, song_id: str, separator: str, stems: Mapping[str, Audio]) -> str:
    """Write ``<root>/<title>-<song id>-<separator>/<stem>.flac`` and return the uri of the song's folder.

    Each file appears whole or not at all; the stem table names a folder only when it has all of them.
    """
    folder = f"{root.rstrip('/')}/{_file_name(title)}-{song_id[:12]}-{_file_name(separator)[:16]}"
    for name, audio in stems.items():
        write_bytes(stem_uri(folder, name), encode_audio(audio, "flac"))
    return folder


def stem_uri(folder: str, name: str) -> str:
    """Where a stem of a song is."""
    return f"{folder}/{name}.flac"


def read_stem(blobs: Mapping[str, bytes], folder: str, name: str) -> Audio:
    """A kept stem, out of its fetched bytes."""
    uri = stem_uri(folder, name)
    return read_audio(blobs[uri], name=uri)


def _file_name(title: str) -> str:
    """A title as a file name on any system: no separators, reserved signs or leading dots."""
    kept = "".join(
        c if c.isalnum() or c in " -_().," or unicodedata.category(c) == "Mn" else "_" for c in title.strip()
    )
    return kept.encode()[:_TITLE_BYTES].decode(errors="ignore").strip(" .") or "song"
