"""Rules of the contract about a song's own row, checked for many rows at a time, without a Python object per code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.upkeep.rules.verify_rules import Findings

COLUMNS = (
    "song_id",
    "separator",
    "codecs",
    "split",
    "seconds",
    "frames",
    "frame_rate",
    "codes",
    "cardinality",
    "layout",
    "stem_loudness",
)
SPLITS = ("train", "valid", "sung")


@dataclass(frozen=True)
class Grids:
    """Shapes and extremes of some songs' codes, each an array ``[rows]``.

    Args:
        streams: how many; 0 where codes are null.
        shortest: frames of the shortest stream; -1 where there is none, or one is null.
        longest: frames of the longest stream; -1 where there is none.
        lowest: least code; 0 where there is none, -1 where one is null.
        highest: greatest code; -1 where there is none.
    """

    streams: np.ndarray
    shortest: np.ndarray
    longest: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray


def measure(codes: pa.ListArray) -> Grids:
    """Shapes and extremes of a column of ``[streams][frames]``."""
    streams = _lengths(codes, null=0)
    inner = codes.flatten()
    frames = _lengths(inner, null=-1)
    values = pc.fill_null(inner.flatten(), -1).to_numpy(zero_copy_only=False)
    totals = _by_row(np.add, np.maximum(frames, 0), streams, 0)
    return Grids(
        streams=streams,
        shortest=_by_row(np.minimum, frames, streams, -1),
        longest=_by_row(np.maximum, frames, streams, -1),
        lowest=_by_row(np.minimum, values, totals, 0),
        highest=_by_row(np.maximum, values, totals, -1),
    )


def check_songs(batch: pa.RecordBatch, findings: Findings) -> None:
    """Check rows of songs, with :data:`COLUMNS`, against the rules about a single row."""
    names = row_names(batch, ("song_id", "separator", "codecs"))
    stems, streams = _layouts(batch)
    grids = measure(batch["codes"])
    frames, seconds, rate, cardinality = (
        batch[column].to_numpy(zero_copy_only=False) for column in ("frames", "seconds", "frame_rate", "cardinality")
    )
    readable = streams > 0
    ragged = (grids.shortest != frames) | (grids.longest != frames)
    # Null is NaN here, and must count as wrong.
    near = np.abs(frames - np.ceil(seconds * rate.astype(np.float64))) <= 1
    within = (grids.lowest >= 0) & (grids.highest < cardinality)
    known = pc.is_in(batch["split"], pa.array(SPLITS)).to_numpy(zero_copy_only=False)
    findings.add_where("layout", ~readable, names)
    findings.add_where("shape", (readable & (grids.streams != streams)) | ragged, names)
    findings.add_where("frames", ~near, names)
    findings.add_where("codes", ~within, names)
    findings.add_where("split", ~known, names)
    findings.add_where("stem_loudness", readable & (_lengths(batch["stem_loudness"], null=-1) != stems), names)


def row_names(rows: pa.RecordBatch | pa.Table, columns: Sequence[str]) -> np.ndarray:
    """A name for each row: some of its columns, ``[rows]`` strings."""
    values = zip(*(rows[column].to_pylist() for column in columns), strict=True)
    return np.array([" / ".join(map(str, row)) for row in values], dtype=object)


def _layouts(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Stems and streams of each row's layout; 0 and 0 if it cannot be read or does not match its codecs."""
    pairs = zip(batch["layout"].to_pylist(), batch["codecs"].to_pylist(), strict=True)
    counts = np.array([_counts(layout, codecs) for layout, codecs in pairs], dtype=np.int64).reshape(-1, 2)
    return counts[:, 0], counts[:, 1]


@lru_cache(maxsize=1024)
def _counts(layout: str | None, codecs: str | None) -> tuple[int, int]:
    try:
        parsed = StemLayout.parse(layout or "")
    except StemsError:
        return 0, 0
    stems = tuple(part.partition("=")[0] for part in (codecs or "").split(","))
    return (len(stems), parsed.streams) if stems == parsed.names else (0, 0)


def _lengths(lists: pa.ListArray, null: int) -> np.ndarray:
    return pc.fill_null(pc.list_value_length(lists), null).to_numpy(zero_copy_only=False)


def _by_row(reduce: np.ufunc, values: np.ndarray, counts: np.ndarray, empty: int) -> np.ndarray:
    """Reduce the first ``counts[0]`` values, the next ``counts[1]``, …; ``empty`` where a count is 0."""
    reduced = np.full(len(counts), empty, dtype=np.int64)
    filled = counts > 0
    if filled.any():
        reduced[filled] = reduce.reduceat(values, (np.cumsum(counts) - counts)[filled])
    return reduced
