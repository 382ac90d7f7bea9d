"""Rows of a token table that a small model can learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers.tiny import CODEC, LAYOUT

from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.schema import CatalogRow, TokenRow

FRAME_RATE = 50.0


def song_row(number: int, codecs: str, split: str, frames: int = 700, **changes: Any) -> TokenRow:
    """A song whose drums repeat every 8 frames, and whose other stems hold one of three codes."""
    codes = np.full((LAYOUT.streams, frames), number % 3, dtype=np.int16)
    codes[1] = np.arange(frames) % 8
    values: dict[str, Any] = {
        "song_id": f"song-{number}",
        "uri": f"{number}.wav",
        "fingerprint": str(number),
        "title": "",
        "caption": f"song {number}",
        "tags": (),
        "seconds": frames / FRAME_RATE,
        "source_rate": 44_100,
        "source_channels": 2,
        "frame_rate": FRAME_RATE,
        "codes": codes,
        "cardinality": CODEC.cardinality,
        "layout": str(LAYOUT),
        "separator": "s",
        "codecs": codecs,
        "loudness": -14.0,
        "clipped": 0.0,
        "silence": 0.0,
        "vocal_score": 0.0,
        "stem_loudness": (-20.0, -18.0, float("-inf")),
        "residual_db": -12.0,
        "split": split,
    }
    return TokenRow(**{**values, **changes})


def catalog_row(song: TokenRow, signature: bytes = b"") -> CatalogRow:
    """The file of a song, as the catalog knows it."""
    entry = CatalogEntry(song.uri, song.fingerprint, song.title, song.caption, song.tags)
    return CatalogRow(
        fingerprint=song.fingerprint,
        song_id=song.song_id,
        entry=entry_to_json(entry),
        seconds=song.seconds,
        source_rate=song.source_rate,
        source_channels=song.source_channels,
        loudness=song.loudness,
        clipped=song.clipped,
        silence=song.silence,
        signature=signature,
    )
