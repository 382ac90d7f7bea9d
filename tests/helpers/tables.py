"""A small token table that keeps its contract, with stems on disk."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from helpers.rows import catalog_row, song_row
from rich.console import Console

from models.audio.files import Audio, write_audio
from pipelines.table.keyed_table import KeyedTable
from pipelines.table.schema import KEYS, SCHEMA_VERSION, SCHEMAS, DroppedRow, QuarantineRow, StemsRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.songs.kept_stems import stems_folder, write_stems

CODECS = "bass=b1,drums=d1,other=o1"
STEMS = ("bass", "drums", "other")
RATE = 8000
SECONDS = 0.5


def keyed(table: TokenTable, name: str) -> KeyedTable:
    """One of its tables, for changes that no command makes."""
    return KeyedTable(f"{table.root}/{name}", SCHEMAS[name], KEYS[name], SCHEMA_VERSION)


def song(number: int, split: str = "train", **changes: Any) -> TokenRow:
    """A song of a second, with an id as hashes have."""
    values = {"song_id": f"{number:x}" * 32, "uri": f"/music/{number}.wav", "title": f"Song {number}", **changes}
    return song_row(number, values.pop("codecs", CODECS), split, frames=50, **values)


def silence(seconds: float = SECONDS, rate: int = RATE) -> Audio:
    """One channel of nothing."""
    return Audio(np.zeros((1, int(rate * seconds)), np.float32), rate)


def keep_stems(root: Path, row: TokenRow) -> StemsRow:
    """Write the stems of a song, and say so."""
    folder = stems_folder(str(root), row.title, row.song_id, row.separator)
    write_stems(folder, dict.fromkeys(STEMS, silence()))
    return StemsRow(row.song_id, row.separator, folder, STEMS, RATE, SECONDS, 0.0, (-20.0, -20.0, -20.0), -12.0)


def sound_table(root: Path) -> TokenTable:
    """Songs 0 to 5 in two commits; of the first two stems are kept, song 0 has a twin; one is sung, a file broken."""
    made = TokenTable(str(root / "table"))
    made.create()
    songs = [song(number, "valid" if number == 5 else "train") for number in range(6)]
    twin = song(0, uri="/music/twin.wav", fingerprint="twin")
    sung = song(7, uri="/music/choir.wav", title="Choir")
    made.commit_catalog([catalog_row(row) for row in (*songs, twin, sung)])
    made.commit_stems([keep_stems(root / "stems", row) for row in songs[:2]])
    made.commit_tokens(songs[:3])
    made.commit_tokens(songs[3:])
    made.commit_dropped([DroppedRow("7", sung.song_id, sung.uri, sung.title, (), 1.0, "s", 0.9, "score")])
    made.commit_quarantine(
        [
            QuarantineRow(twin.uri, "twin", "duplicate", "the same", twin.song_id, "", "", "5-1200 s"),
            QuarantineRow("/music/broken.wav", "broken", "unreadable", "no audio", "", "", "", "5-1200 s"),
        ]
    )
    return made


def rewrite_stem(folder: str, name: str, audio: Audio) -> None:
    """Put another sound in the place of a kept stem."""
    write_audio(Path(folder) / f"{name}.flac", audio)


def shown(report: Any) -> str:
    """What a report's summary says on a terminal."""
    page = io.StringIO()
    Console(file=page, width=200).print(report.summary())
    return page.getvalue()
