"""Separated stems as files: one folder per song, one FLAC file per stem, on a disk or in an object store."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import numpy as np

from models.audio.files import Audio, encode_audio, in_16_bits, read_audio
from models.errors import StemsError
from pipelines.catalog.storage.files import not_written, write_bytes
from pipelines.tokens.songs.reasons import BROKEN_STEMS

FRAME_S = 0.02
"""Seconds by which a kept stem's length may differ from its song's: one frame of codes."""

_TITLE_BYTES = 100


def as_stored(audio: Audio) -> Audio:
    """The samples that a 16-bit file holds of a sound.

    Stems are rounded before they are tokenized, whether they are kept or not. So a stem file gives the same codes at
    any later time.
    """
    return Audio(in_16_bits(audio.samples).astype(np.float32) / 32768.0, audio.rate)


def stems_folder(root: str, title: str, song_id: str, separator: str) -> str:
    """Where a song's stems are kept: ``<root>/<title>-<song id>-<separator>``."""
    return f"{root.rstrip('/')}/{_file_name(title)}-{song_id[:12]}-{_file_name(separator)[:16]}"


def write_stems(folder: str, stems: Mapping[str, Audio]) -> None:
    """Write ``<folder>/<stem>.flac`` for each stem.

    Each file appears whole or not at all; the stem table names a folder only when it has all of them.

    Raises:
        StemsError: with code ``storage``, naming the folder that holds the songs' folders, for any error of the disk
            or store: it is never the song's fault.
    """
    for name, audio in stems.items():
        data = encode_audio(audio, "flac")
        try:
            write_bytes(stem_uri(folder, name), data)
        except Exception as error:
            raise not_written(folder.rpartition("/")[0], error, "keep_stems") from error


def stem_uri(folder: str, name: str) -> str:
    """The address of a song's stem."""
    return f"{folder}/{name}.flac"


def read_stem(blobs: Mapping[str, bytes], folder: str, name: str, seconds: float) -> Audio:
    """Decode a kept stem from its fetched bytes.

    Raises:
        StemsError: it cannot be read, or does not last as long as its song.
    """
    uri = stem_uri(folder, name)
    audio = read_audio(blobs[uri], name=uri)
    if abs(audio.seconds - seconds) > FRAME_S:
        raise StemsError(f"'{uri}' lasts {audio.seconds:.2f} s, and its song {seconds:.2f} s.", code=BROKEN_STEMS)
    return audio


def _file_name(title: str) -> str:
    """A title as a file name on any system: no separators, reserved signs or leading dots."""
    kept = "".join(
        c if c.isalnum() or c in " -_().," or unicodedata.category(c) == "Mn" else "_" for c in title.strip()
    )
    return kept.encode()[:_TITLE_BYTES].decode(errors="ignore").strip(" .") or "song"
