"""Rows of a token table that a small model can learn."""

from __future__ import annotations

import numpy as np
from helpers.tiny import LAYOUT

from pipelines.tokens.schema import TokenRow


def song_row(number: int, codecs: str, split: str, frames: int = 700) -> TokenRow:
    """A song whose drums repeat every 8 frames, and whose other stems hold one of three codes."""
    codes = np.full((LAYOUT.streams, frames), number % 3, dtype=np.int16)
    codes[1] = np.arange(frames) % 8
    return TokenRow(
        song_id=f"song-{number}",
        uri=f"{number}.wav",
        fingerprint=str(number),
        title="",
        caption=f"song {number}",
        tags=(),
        seconds=frames / 50,
        source_rate=44_100,
        source_channels=2,
        codes=codes,
        layout=str(LAYOUT),
        separator="s",
        codecs=codecs,
        loudness=-14.0,
        vocal_score=0.0,
        split=split,
    )
