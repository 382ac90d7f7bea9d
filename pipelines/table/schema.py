"""The rows of the token table, and its schema.

A song's codes are a list of streams (in layout order), each a list of ``frames`` int16 codes: plain Arrow
lists that pyarrow, DuckDB and Polars read. Rows hold no clock time: two runs compare row for row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

SCHEMA_VERSION = 2

GIVEN = "given"
"""The separator's id where a multitrack song came with its stems."""

CODES = pa.list_(pa.list_(pa.int16()))

TOKENS = pa.schema(
    [
        ("song_id", pa.string()),  # hash of the decoded samples
        ("uri", pa.string()),
        ("fingerprint", pa.string()),  # of the source file: path, size, time
        ("title", pa.string()),
        ("caption", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("seconds", pa.float64()),
        ("source_rate", pa.int32()),  # Hz
        ("source_channels", pa.int32()),
        ("frames", pa.int32()),
        ("frame_rate", pa.float32()),  # frames a second
        ("codes", CODES),  # [streams][frames]
        ("cardinality", pa.int32()),  # codes are below it
        ("layout", pa.string()),  # stems and codebooks, as in bass:1,drums:1,other:4
        ("separator", pa.string()),  # id of the separator, or "given"
        ("codecs", pa.string()),  # ids of the codecs, as in bass=1f…,drums=e0…
        ("loudness", pa.float32()),  # LUFS of the source
        ("clipped", pa.float32()),  # share of the source's samples at full scale
        ("silence", pa.float32()),  # share of the source's time that is silent
        ("vocal_score", pa.float32()),  # 0..1
        ("stem_loudness", pa.list_(pa.float32())),  # LUFS of each stem, in layout order; -inf where silent
        ("residual_db", pa.float32()),  # what the stems and the voice together leave of the mix, against it, in dB
        ("split", pa.string()),  # train or valid; sung where the vocal score is above the threshold in force
    ]
)

CATALOG = pa.schema(
    [
        ("fingerprint", pa.string()),
        ("song_id", pa.string()),
        ("entry", pa.string()),  # JSON of the CatalogEntry: uri, title, caption, tags, size, given stems
        ("seconds", pa.float64()),
        ("source_rate", pa.int32()),
        ("source_channels", pa.int32()),
        ("loudness", pa.float32()),
        ("clipped", pa.float32()),
        ("silence", pa.float32()),
        ("signature", pa.binary()),  # by which near-duplicates are found
    ]
)

DROPPED = pa.schema(
    [
        ("fingerprint", pa.string()),
        ("song_id", pa.string()),  # empty where a tag decided before the file was read
        ("uri", pa.string()),
        ("title", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("seconds", pa.float64()),  # 0 where a tag decided
        ("separator", pa.string()),
        ("vocal_score", pa.float32()),  # null where a tag decided
        ("decided_by", pa.string()),  # "tag:<tag>" or "score"
    ]
)

QUARANTINE = pa.schema(
    [
        ("uri", pa.string()),
        ("fingerprint", pa.string()),
        ("reason", pa.string()),  # a code: unreadable, empty, too_short, duplicate, failed:<type> …
        ("message", pa.string()),
        ("song_id", pa.string()),  # empty where the file could not be decoded
        ("separator", pa.string()),
        ("codecs", pa.string()),
        ("limits", pa.string()),  # the limits of length in force
    ]
)

STEMS = pa.schema(
    [
        ("song_id", pa.string()),
        ("separator", pa.string()),
        ("folder", pa.string()),  # uri of the folder that holds <stem>.flac
        ("stems", pa.list_(pa.string())),  # names
        ("rate", pa.int32()),  # Hz, mono
        ("seconds", pa.float64()),
        ("vocal_score", pa.float32()),
        ("stem_loudness", pa.list_(pa.float32())),  # LUFS, in the order of stems
        ("residual_db", pa.float32()),
    ]
)

REMOVED = pa.schema(
    [
        ("song_id", pa.string()),
        ("uris", pa.list_(pa.string())),  # where its files were
        ("fingerprints", pa.list_(pa.string())),
        ("title", pa.string()),
        ("reason", pa.string()),  # as given to `stems table remove`
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    "tokens": TOKENS,
    "catalog": CATALOG,
    "dropped": DROPPED,
    "quarantine": QUARANTINE,
    "stems": STEMS,
    "removed": REMOVED,
}
"""The columns of each table."""

KEYS: dict[str, tuple[str, ...]] = {
    "tokens": ("song_id", "separator", "codecs"),
    "catalog": ("fingerprint",),
    "dropped": ("fingerprint", "separator"),
    "quarantine": ("fingerprint", "separator", "codecs", "limits"),
    "stems": ("song_id", "separator"),
    "removed": ("song_id",),
}
"""The columns that identify a row of each table."""

TABLES = tuple(SCHEMAS)


@dataclass(frozen=True)
class Identity:
    """What a run's results depend on beside the song. Rows are keyed by it.

    Args:
        separator: id of the separator.
        codecs: ids of the codecs, in layout order.
        limits: the limits of length, ``5-1200 s``.
    """

    separator: str
    codecs: str
    limits: str


@dataclass(frozen=True)
class TokenRow:
    """A tokenized song; ``codes`` is int16 [streams, frames]. See :data:`TOKENS` for the rest."""

    song_id: str
    uri: str
    fingerprint: str
    title: str
    caption: str
    tags: tuple[str, ...]
    seconds: float
    source_rate: int
    source_channels: int
    frame_rate: float
    codes: np.ndarray
    cardinality: int
    layout: str
    separator: str
    codecs: str
    loudness: float
    clipped: float
    silence: float
    vocal_score: float
    stem_loudness: tuple[float, ...]
    residual_db: float
    split: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.codes.shape[1])


@dataclass(frozen=True)
class CatalogRow:
    """A readable file of a catalog, and the measurements of its sound. See :data:`CATALOG`."""

    fingerprint: str
    song_id: str
    entry: str
    seconds: float
    source_rate: int
    source_channels: int
    loudness: float
    clipped: float
    silence: float
    signature: bytes


@dataclass(frozen=True)
class DroppedRow:
    """A song with vocals. See :data:`DROPPED`."""

    fingerprint: str
    song_id: str
    uri: str
    title: str
    tags: tuple[str, ...]
    seconds: float
    separator: str
    vocal_score: float | None
    decided_by: str


@dataclass(frozen=True)
class QuarantineRow:
    """A file that is not a usable song, and why. See :data:`QUARANTINE`.

    Without separator and codecs, the row says something of the file alone, whatever models a run has.
    """

    uri: str
    fingerprint: str
    reason: str
    message: str
    song_id: str = ""
    separator: str = ""
    codecs: str = ""
    limits: str = ""


@dataclass(frozen=True)
class StemsRow:
    """A song's stems as files. See :data:`STEMS`."""

    song_id: str
    separator: str
    folder: str
    stems: tuple[str, ...]
    rate: int
    seconds: float
    vocal_score: float
    stem_loudness: tuple[float, ...]
    residual_db: float


@dataclass(frozen=True)
class RemovedRow:
    """A song that was taken down for good. See :data:`REMOVED`."""

    song_id: str
    uris: tuple[str, ...]
    fingerprints: tuple[str, ...]
    title: str
    reason: str


PlainRow = CatalogRow | DroppedRow | QuarantineRow | StemsRow | RemovedRow


def tokens_table(rows: Sequence[TokenRow]) -> pa.Table:
    """Rows as an Arrow table."""
    columns = {field.name: [getattr(row, field.name) for row in rows] for field in TOKENS if field.name != "codes"}
    codes = codes_to_arrow([row.codes for row in rows])
    arrays = [codes if f.name == "codes" else pa.array(columns[f.name], f.type) for f in TOKENS]
    return pa.Table.from_arrays(arrays, schema=TOKENS)


def plain_table(rows: Sequence[PlainRow], schema: pa.Schema) -> pa.Table:
    """Rows of one of the other tables as an Arrow table."""
    return pa.Table.from_pylist([_as_dict(row) for row in rows], schema=schema)


def codes_to_arrow(songs: Sequence[np.ndarray]) -> pa.ListArray:
    """``[streams, frames]`` int16 arrays to one list-of-lists column, without a Python object per code."""
    for codes in songs:
        if codes.dtype != np.int16 or codes.ndim != 2:
            raise TypeError(f"codes are int16 [streams, frames], not {codes.dtype} {codes.shape}")
    lengths = [codes.shape[1] for codes in songs for _ in range(codes.shape[0])]
    values = np.concatenate([codes.ravel() for codes in songs]) if songs else np.zeros(0, np.int16)
    inner = pa.ListArray.from_arrays(_offsets(lengths), pa.array(values, pa.int16()))
    return pa.ListArray.from_arrays(_offsets([codes.shape[0] for codes in songs]), inner)


def codes_from_arrow(codes: pa.ListScalar) -> np.ndarray:
    """One song's codes, ``table["codes"][i]``, as int16 ``[streams, frames]``."""
    streams = codes.values
    flat = streams.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat, dtype=np.int16).reshape(len(streams), -1)


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))


def _as_dict(row: PlainRow) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(row)}
