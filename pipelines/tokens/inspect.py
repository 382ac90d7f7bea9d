"""The first stage: read a file, decode it once, and say whether it is a song.

Never raises for a bad file: what is wrong goes into ``reason`` and ``message``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from models.audio import Audio, AudioInfo, audio_info, loudness, read_audio
from models.errors import StemsError
from pipelines.catalog.files import read_bytes
from pipelines.catalog.schema import CatalogEntry

INSPECTED = pa.schema(
    [
        ("entry", pa.string()),  # JSON of the CatalogEntry
        ("reason", pa.string()),  # empty for a song, else a quarantine code
        ("message", pa.string()),
        ("song_id", pa.string()),
        ("seconds", pa.float64()),
        ("rate", pa.int32()),
        ("channels", pa.int32()),
        ("loudness", pa.float32()),
        ("data", pa.large_binary()),  # the file's compressed bytes; empty unless a song
    ]
)

DUPLICATE = "duplicate"
FAILED = "failed:"
_SHORTFALL_S = 0.5
_UNKNOWN_RIFF_SIZES = (0, 0xFFFFFFFF)  # what writes to a pipe leaves in the header


@dataclass(frozen=True)
class Limits:
    """What a song may be: seconds, and megabytes of its file."""

    min_seconds: float
    max_seconds: float
    max_megabytes: float


@dataclass(frozen=True)
class Inspected:
    """One file as the first stage leaves it; see :data:`INSPECTED`."""

    entry: str
    reason: str = ""
    message: str = ""
    song_id: str = ""
    seconds: float = 0.0
    rate: int = 0
    channels: int = 0
    loudness: float = 0.0
    data: bytes = b""


def inspect_files(batch: pa.Table, *, limits: Limits, known: Mapping[str, str]) -> pa.Table:
    """Inspect a batch: column ``entry`` in, :data:`INSPECTED` out, row for row.

    ``known`` names the uri of each song, by id, that needs no work.
    """
    rows = [inspect_file(text, limits, known) for text in batch["entry"].to_pylist()]
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=INSPECTED)


def inspect_file(text: str, limits: Limits, known: Mapping[str, str]) -> Inspected:
    """Inspect the file of one :func:`entry_to_json`."""
    entry = entry_from_json(text)
    try:
        data = _read(entry, limits)
        audio = _decode(data, entry.uri, limits)
        level = _check_sound(audio, entry.uri, limits)
    except StemsError as error:
        return Inspected(text, error.code, f"{error.message} {error.mend}".strip())
    except Exception as error:  # a decoder's surprise must not stop the other songs
        return Inspected(text, f"{FAILED}{type(error).__name__}", str(error)[:500])
    name, channels = song_id(audio), audio.samples.shape[0]
    if name in known:
        return Inspected(text, DUPLICATE, duplicate_message(known[name]), name)
    return Inspected(text, "", "", name, audio.seconds, audio.rate, channels, level, data)


def duplicate_message(uri: str) -> str:
    """Why a duplicate is in quarantine."""
    return f"The same audio as '{uri}'."


def song_id(audio: Audio) -> str:
    """Identity of a song: 32 hex digits from its rate and decoded samples, whatever held them."""
    content = hashlib.blake2b(f"{audio.rate} {audio.samples.shape[0]}".encode(), digest_size=16)
    content.update(np.ascontiguousarray(audio.samples).data)
    return content.hexdigest()


def entry_to_json(entry: CatalogEntry) -> str:
    """An entry as text, for the road between stages."""
    return json.dumps(asdict(entry), ensure_ascii=False)


def entry_from_json(text: str) -> CatalogEntry:
    """The inverse of :func:`entry_to_json`."""
    values = json.loads(text)
    return CatalogEntry(**{**values, "tags": tuple(values["tags"])})


def _read(entry: CatalogEntry, limits: Limits) -> bytes:
    if entry.size > limits.max_megabytes * 1e6:
        raise StemsError(
            f"'{entry.uri}' has {entry.size / 1e6:.0f} MB; at most {limits.max_megabytes:g} are read.",
            "Compress it, or raise max_megabytes.",
            code="too_large",
        )
    try:
        return read_bytes(entry.uri)
    except FileNotFoundError as error:
        raise StemsError(f"There is no file '{entry.uri}'.", "Check the path.", code="missing") from error
    except OSError as error:
        raise StemsError(
            f"'{entry.uri}' cannot be read ({error.strerror or error}).", "Check its permissions.", code="unreadable"
        ) from error


def _decode(data: bytes, name: str, limits: Limits) -> Audio:
    audio = read_audio(data, name=name, max_seconds=limits.max_seconds)
    if audio.seconds > limits.max_seconds:  # longer than its header says
        raise StemsError(
            f"'{name}' lasts more than {limits.max_seconds:g} s.", "Cut it, or raise max_seconds.", code="too_long"
        )
    if _is_cut_off(data, audio_info(data, name=name), audio.seconds):
        raise StemsError(
            f"'{name}' breaks off after {audio.seconds:.1f} s.", "Copy it again, whole.", code="truncated"
        )
    return audio


def _check_sound(audio: Audio, name: str, limits: Limits) -> float:
    """The loudness in LUFS of audio that is long enough and not silent."""
    if audio.seconds < limits.min_seconds:
        raise StemsError(
            f"'{name}' lasts {audio.seconds:.1f} s; at least {limits.min_seconds:g} s are needed.",
            "Leave it out, or lower min_seconds.",
            code="too_short",
        )
    level = loudness(audio)
    if not math.isfinite(level):
        raise StemsError(f"'{name}' is silent.", "Leave it out, or export it again.", code="silent")
    return level


def _is_cut_off(data: bytes, info: AudioInfo, seconds: float) -> bool:
    """Whether the container promises more than the file holds (decoders are content with what there is)."""
    if seconds < info.seconds - _SHORTFALL_S:
        return True
    if data[:4] == b"RIFF":
        promised = int.from_bytes(data[4:8], "little")
        missing = (promised + 8 - len(data)) / len(data) * seconds
        return promised not in _UNKNOWN_RIFF_SIZES and missing > _SHORTFALL_S
    if data[:4] == b"OggS":
        last_page = data.rfind(b"OggS")
        return not data[last_page + 5] & 4  # the end-of-stream flag
    return False
