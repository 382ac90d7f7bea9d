"""Reuse the codes that a song has already: a new codec changes only its own stem's streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from models.stems import StemLayout
from pipelines.table.schema import TokenRow, codes_from_arrow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.table_state import codec_by_stem
from pipelines.tokens.songs.work import Work

_COLUMNS = ["song_id", "separator", "codecs", "layout", "codes"]

Key = tuple[str, str, str, str]
"""Song, separator, stem, codec."""


def earlier_codes(
    table: TokenTable, layout: StemLayout, codecs: str, partial: Sequence[tuple[Work, TokenRow]]
) -> Iterator[TokenRow]:
    """Complete rows that hold codes of ``work.encode`` only with the table's codes of the other stems.

    Args:
        table: has the other stems' codes.
        layout: of the completed rows.
        codecs: ids of their codecs.
        partial: each work with its incomplete row.
    """
    if not partial:
        return
    have = _read(table, [work.song_id for work, _ in partial])
    ids = codec_by_stem(codecs)
    for work, row in partial:
        made = _by_stem(row.codes, StemLayout(tuple(s for s in layout.stems if s.name in work.encode)))
        keys = {name: (work.song_id, work.separator, name, ids[name]) for name in layout.names if name not in made}
        if have.keys() >= set(keys.values()):  # otherwise the song was removed meanwhile
            streams = [have[keys[name]] if name in keys else made[name] for name in layout.names]
            yield replace(row, codes=np.concatenate(streams))


def _read(table: TokenTable, songs: Sequence[str]) -> dict[Key, np.ndarray]:
    rows = table.read("tokens", _COLUMNS, {"song_id": songs})
    found: dict[Key, np.ndarray] = {}
    for index, row in enumerate(rows.drop_columns(["codes"]).to_pylist()):
        by_stem = _by_stem(codes_from_arrow(rows["codes"][index]), StemLayout.parse(row["layout"]))
        for stem, codec in codec_by_stem(row["codecs"]).items():
            found[row["song_id"], row["separator"], stem, codec] = by_stem[stem]
    return found


def _by_stem(codes: np.ndarray, layout: StemLayout) -> dict[str, np.ndarray]:
    return {name: codes[layout.slice(name)] for name in layout.names}
