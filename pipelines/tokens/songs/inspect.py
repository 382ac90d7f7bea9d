"""The first phase: decode a song's files once, and measure them or say why they are not a song.

A bad file raises nothing: ``reason`` and ``message`` say what is wrong.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa

from models.audio.files import Audio, clipped, loudness, silence
from models.errors import StemsError
from models.files.storage import NO_ROOM, storage_reason
from pipelines.catalog.schema import CatalogEntry, entry_from_json
from pipelines.tokens.songs.limits import SongLimits, length_problem
from pipelines.tokens.songs.reasons import FAILED, NOT_WRITTEN
from pipelines.tokens.songs.source import read_mix
from pipelines.tokens.songs.work import PROBE

INSPECTED = pa.schema(
    [
        ("fingerprint", pa.string()),  # of the catalog entry
        ("reason", pa.string()),  # a quarantine code; empty for a song
        ("message", pa.string()),
        ("song_id", pa.string()),
        ("seconds", pa.float64()),
        ("rate", pa.int32()),
        ("channels", pa.int32()),
        ("loudness", pa.float32()),  # LUFS
        ("clipped", pa.float32()),  # share of samples
        ("silence", pa.float32()),  # share of time
        ("signature", pa.binary()),
        ("took", pa.float32()),  # seconds of work
    ]
)


@dataclass(frozen=True)
class Inspected:
    """One file as the first phase leaves it; see :data:`INSPECTED`."""

    fingerprint: str
    reason: str = ""
    message: str = ""
    song_id: str = ""
    seconds: float = 0.0
    rate: int = 0
    channels: int = 0
    loudness: float = 0.0
    clipped: float = 0.0
    silence: float = 0.0
    signature: bytes = b""
    took: float = 0.0


def inspect_files(batch: pa.Table, *, limits: SongLimits, allow_hosts: tuple[str, ...] = ()) -> pa.Table:
    """Inspect a batch: column ``entry`` in, :data:`INSPECTED` out, row for row; a probe passes through."""
    rows = [
        Inspected(PROBE) if text == PROBE else inspect_file(text, limits, allow_hosts)
        for text in batch["entry"].to_pylist()
    ]
    return pa.Table.from_pylist([asdict(row) for row in rows], schema=INSPECTED)


def inspect_file(text: str, limits: SongLimits, allow_hosts: Collection[str] = ()) -> Inspected:
    """Inspect the song of one :func:`pipelines.catalog.schema.entry_to_json`."""
    began = time.perf_counter()
    entry = entry_from_json(text)
    try:
        found = _inspect(entry, limits, allow_hosts)
    except StemsError as error:
        found = Inspected(entry.fingerprint, error.code, str(error))
    except Exception as error:  # a decoder may raise anything, which must not stop the other songs
        # File names may hold bytes that are not text.
        said = str(error)[:500].encode(errors="replace").decode()
        full = storage_reason(error) in NO_ROOM  # a library may write temporary files
        found = Inspected(entry.fingerprint, NOT_WRITTEN if full else f"{FAILED}{type(error).__name__}", said)
    return replace(found, took=time.perf_counter() - began)


def song_id(audio: Audio) -> str:
    """Identity of a song: 32 hex digits from its rate and decoded samples, whatever held them."""
    content = hashlib.blake2b(f"{audio.rate} {audio.samples.shape[0]}".encode(), digest_size=16)
    for channel in audio.samples:
        content.update(np.ascontiguousarray(channel).data)
    return content.hexdigest()


def _inspect(entry: CatalogEntry, limits: SongLimits, allow_hosts: Collection[str]) -> Inspected:
    from models.audio.signature import signature  # brings SciPy

    _check_size(entry, limits)
    audio = read_mix(entry, limits, allow_hosts)
    if problem := length_problem(entry.uri, audio.seconds, limits):
        raise problem
    still = silence(audio)
    level = loudness(audio) if still < 1.0 else float("-inf")
    if not math.isfinite(level):
        raise StemsError(f"'{entry.uri}' is silent.", "Leave it out, or export it again.", code="silent")
    return Inspected(
        fingerprint=entry.fingerprint,
        song_id=song_id(audio),
        seconds=audio.seconds,
        rate=audio.rate,
        channels=audio.samples.shape[0],
        loudness=level,
        clipped=clipped(audio),
        silence=still,
        signature=signature(audio),
    )


def _check_size(entry: CatalogEntry, limits: SongLimits) -> None:
    """Refuse a file of known size before fetching it."""
    if entry.size > limits.max_bytes:
        raise StemsError(
            f"'{entry.uri}' has {entry.size / 1e6:.0f} MB; at most {limits.max_megabytes:g} are read.",
            "Compress it, or raise max_megabytes.",
            code="too_large",
        )
