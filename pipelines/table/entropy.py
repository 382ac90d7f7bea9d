"""The score of a model that knows only how often each code occurs: the language model's baseline."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.table.schema import codes_from_arrow
from pipelines.table.splits import TRAIN, VALID


def unigram_entropy(table: pa.Table, layout: StemLayout, split: str | None = None) -> dict[str, float]:
    """Entropy of each stream's codes in nats per code, by stream name.

    Args:
        table: rows of the token table, with ``codes`` (and ``split``, if one is given).
        layout: layout of those rows.
        split: count only songs of this split.

    Raises:
        StemsError: no songs, or codes of another layout.
    """
    counts = [_strip(count) for count in _counts(table, layout, split)]
    return {
        name: float(-(p * np.log(p)).sum())
        for name, p in zip(layout.stream_names, (count / count.sum() for count in counts), strict=True)
    }


def unigram_cross_entropy(table: pa.Table, layout: StemLayout, cardinality: int) -> dict[str, float]:
    """Loss in nats per code of the train split's unigram model on the valid split, by stream name.

    The honest baseline: counts come from ``train`` with one added to each of the codebook's ``cardinality``
    codes, and are scored on ``valid``, which they have not seen.

    Raises:
        StemsError: a split without songs, codes of another layout, or beyond the cardinality.
    """
    seen = _counts(table, layout, TRAIN)
    scored = _counts(table, layout, VALID)
    losses = {}
    for name, train, valid in zip(layout.stream_names, seen, scored, strict=True):
        if max(len(train), len(valid)) > cardinality:
            raise StemsError(
                f"Stream '{name}' has code {max(len(train), len(valid)) - 1}; its codebook has {cardinality}.",
                "Give the cardinality of the codecs that wrote the table.",
                field="cardinality",
            )
        model = np.log(np.pad(train, (0, cardinality - len(train))) + 1.0) - np.log(train.sum() + cardinality)
        losses[name] = float(-(valid * model[: len(valid)]).sum() / valid.sum())
    return losses


def _counts(table: pa.Table, layout: StemLayout, split: str | None) -> list[np.ndarray]:
    """How often each code occurs, by stream."""
    rows = table if split is None else table.filter(pc.equal(table["split"], split))
    if len(rows) == 0:
        raise StemsError(
            f"The token table has no songs{f' in {split}' if split else ''}.",
            "Prepare more songs, or another share of validation songs.",
            code="empty",
            field="table",
        )
    totals = [np.zeros(0, np.int64)] * layout.streams
    for song in rows["codes"]:
        codes = codes_from_arrow(song)
        if len(codes) != layout.streams:
            raise StemsError(
                f"The table's songs have {len(codes)} streams; {layout} has {layout.streams}.",
                "Use the layout that the table names.",
                field="layout",
            )
        totals = [_add(total, np.bincount(stream)) for total, stream in zip(totals, codes, strict=True)]
    return totals


def _add(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    size = max(len(a), len(b))
    return np.pad(a, (0, size - len(a))) + np.pad(b, (0, size - len(b)))


def _strip(counts: np.ndarray) -> np.ndarray:
    return counts[counts > 0]
