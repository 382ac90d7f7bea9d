"""A catalog whose songs are in the table as a run would have written them, without computing anything."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.catalog.storage.files import read_bytes
from pipelines.table.schema import CatalogRow, DroppedRow, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.resolve import resolve_prepare


def put_files(root: Path, **contents: str) -> None:
    """Files that claim to be songs; equal contents are one song."""
    root.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (root / f"{name}.wav").write_text(content, encoding="utf-8")


def song_of(entry: CatalogEntry) -> str:
    """The song's id, by the file's contents."""
    return hashlib.blake2b(read_bytes(entry.uri), digest_size=16).hexdigest()


def catalog_row(entry: CatalogEntry) -> CatalogRow:
    return CatalogRow(entry.fingerprint, song_of(entry), entry_to_json(entry), 10.0, 44100, 2, -14.0, 0.0, 0.0, b"")


def token_row(entry: CatalogEntry, config: PrepareConfig, **changes: Any) -> TokenRow:
    resolved, song = resolve_prepare(config), song_of(entry)
    identity, layout = resolved.identity, resolved.layout
    codes = np.random.default_rng(int(song[:8], 16)).integers(0, 32, (layout.streams, 500), np.int16)
    values: dict[str, Any] = {
        "song_id": song,
        "uri": entry.uri,
        "fingerprint": entry.fingerprint,
        "title": entry.title,
        "caption": entry.caption,
        "tags": entry.tags,
        "seconds": 10.0,
        "source_rate": 44100,
        "source_channels": 2,
        "frame_rate": 50.0,
        "codes": codes,
        "cardinality": 32,
        "layout": str(layout),
        "separator": identity.separator,
        "codecs": identity.codecs,
        "loudness": -14.0,
        "clipped": 0.0,
        "silence": 0.0,
        "vocal_score": 0.1,
        "stem_loudness": (-20.0, -20.0, -20.0),
        "residual_db": -20.0,
        "split": "train",
    }
    return TokenRow(**{**values, **changes})


def put_table(config: PrepareConfig, again: str = "") -> TokenTable:
    """The catalog's songs as tokens, and once more by other codecs where these are given."""
    table = TokenTable(config.table)
    songs: dict[str, CatalogEntry] = {}
    table.create()
    entries = import_catalog(config.catalog, config.manifest)
    for entry in entries:
        songs.setdefault(song_of(entry), entry)
    table.commit_catalog([catalog_row(entry) for entry in entries])
    table.commit_tokens([token_row(entry, config) for entry in songs.values()])
    if again:
        table.commit_tokens([token_row(entry, config, codecs=again) for entry in songs.values()])
    return table


def drop(table: TokenTable, entry: CatalogEntry, config: PrepareConfig, score: float = 0.9) -> None:
    """Drop a song for its vocal score in place of its tokens."""
    song = song_of(entry)
    table.delete_songs("tokens", [song])
    separator = resolve_prepare(config).identity.separator
    table.commit_dropped(
        [DroppedRow(entry.fingerprint, song, entry.uri, entry.title, entry.tags, 10.0, separator, score, "score")]
    )


def compute_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test where a job would start to compute."""
    monkeypatch.setattr("pipelines.tokens.run.run.connect", lambda: pytest.fail("something was computed"))
