"""What the second phase finds of a song: it is tokenized, sung, or could not be processed. And how that travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from models.errors import StemsError
from models.files.storage import NO_ROOM, storage_reason
from pipelines.tokens.songs.reasons import FAILED, NOT_WRITTEN

_LONGEST_MESSAGE = 500

TOKENIZED = pa.schema(
    [
        ("song_id", pa.string()),
        ("reason", pa.string()),  # a quarantine code; empty for a song that was processed
        ("message", pa.string()),
        ("decided_by", pa.string()),  # see VocalRule.by_score; empty unless the song is sung
        ("vocal_score", pa.float32()),  # null where this worker neither separated nor listened, as the next two
        ("stem_loudness", pa.list_(pa.float32())),
        ("residual_db", pa.float32()),
        ("folder", pa.string()),
        ("frames", pa.int32()),
        ("frame_rate", pa.float32()),
        ("codes", pa.large_binary()),  # int16 [streams, frames], row by row; null unless tokenized
        ("took", pa.string()),  # JSON: seconds by stage
    ]
)
"""The rows in which results come back from the workers."""


@dataclass(frozen=True)
class MadeStems:
    """Measurements of stems that this worker separated or was given.

    Args:
        vocal_score: 0..1.
        stem_loudness: LUFS of each stem of the layout; -inf where silent.
        residual_db: what the stems leave of the mix, in dB.
        folder: where the stems are kept, or empty.
    """

    vocal_score: float
    stem_loudness: tuple[float, ...]
    residual_db: float
    folder: str = ""


@dataclass(frozen=True)
class Tokenized:
    """A song with codes.

    Args:
        codes: int16 [streams, frames] of the stems that were to be encoded.
        frame_rate: frames per second.
        made: measurements of its stems; None where they were read from a folder that has them in the table.
        took: seconds by stage.
    """

    codes: np.ndarray
    frame_rate: float
    made: MadeStems | None
    took: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sung:
    """A song that is left out for its vocals.

    Args:
        vocal_score: 0..1; a lower bound where a few stretches were enough.
        decided_by: what the rule says of it.
        took: seconds by stage.
    """

    vocal_score: float
    decided_by: str
    took: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """A song that could not be processed.

    Args:
        reason: a code of :mod:`pipelines.tokens.songs.reasons`.
        message: the same, in words.
        took: seconds by stage.
    """

    reason: str
    message: str
    took: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def by(cls, error: Exception) -> Failed:
        """The result of an error; a full disk is not the song's fault."""
        if isinstance(error, StemsError):
            return cls(error.code, str(error)[:_LONGEST_MESSAGE])
        full = storage_reason(error) in NO_ROOM
        reason = NOT_WRITTEN if full else f"{FAILED}{type(error).__name__}"
        return cls(reason, str(error)[:_LONGEST_MESSAGE])


SongResult: TypeAlias = Tokenized | Sung | Failed


def result_to_row(song_id: str, result: SongResult | None) -> dict[str, Any]:
    """A row of :data:`TOKENIZED`; None gives the row of a probe that went well."""
    row: dict[str, Any] = dict.fromkeys(TOKENIZED.names)
    row |= {"song_id": song_id, "reason": "", "message": "", "decided_by": "", "folder": ""}
    row["took"] = json.dumps(dict(result.took) if result else {})
    match result:
        case Failed():
            return row | {"reason": result.reason, "message": result.message}
        case Sung():
            return row | {"vocal_score": result.vocal_score, "decided_by": result.decided_by}
        case Tokenized():
            row |= vars(result.made) if result.made else {}
            codes = {"codes": result.codes.tobytes(), "frames": result.codes.shape[1]}
            return row | codes | {"frame_rate": result.frame_rate}
        case None:
            return row


def result_from_row(row: Mapping[str, Any]) -> SongResult:
    """The inverse of :func:`result_to_row` for a song's row."""
    took: dict[str, float] = json.loads(row["took"])
    if row["reason"]:
        return Failed(row["reason"], row["message"], took)
    if row["decided_by"]:
        return Sung(row["vocal_score"], row["decided_by"], took)
    made = None
    if row["residual_db"] is not None:
        made = MadeStems(row["vocal_score"], tuple(row["stem_loudness"]), row["residual_db"], row["folder"])
    codes = np.frombuffer(row["codes"], np.int16).reshape(-1, row["frames"])
    return Tokenized(codes, row["frame_rate"], made, took)
