"""`stems prepare` over a catalog that has not changed: `python -m benchmarks.again --songs 100000`.

The files are empty and their rows made up, with few frames: with nothing to do, no file is opened, no code read.
The table is as commits of 64 songs leave it, and then as `stems table compact` does.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.prepare import CODEBOOKS, SOURCES
from benchmarks.turns import seconds
from models.codec.codec import build_codec
from models.codec.size import CodecSize
from models.separation import SeparatorSize, build_htdemucs, save_separator
from pipelines.catalog.load import import_catalog
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.table.schema import CatalogRow, Identity, TokenRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig
from pipelines.tokens.prepare import prepare
from pipelines.tokens.resolve import resolve_prepare

FILES_IN_A_FOLDER = 1000
CARDINALITY = 2048


def write_files(root: Path, songs: int) -> None:
    for k in range(songs):
        if k % FILES_IN_A_FOLDER == 0:
            (root / f"{k // FILES_IN_A_FOLDER:03}").mkdir(parents=True)
        (root / f"{k // FILES_IN_A_FOLDER:03}" / f"song {k}.flac").touch()


def write_models(root: Path) -> None:
    torch.manual_seed(0)
    size = SeparatorSize(SOURCES, segment=1.0, channels=8, depth=3, nfft=1024, transformer_layers=0)
    save_separator(build_htdemucs(size), root / "separator")
    for name, codebooks in CODEBOOKS.items():
        build_codec(CodecSize(filters=2, latent=8, cardinality=16, lstm_layers=1), codebooks).save(
            root / "codecs" / name
        )


def rows_of(
    entry: CatalogEntry, identity: Identity, layout: str, streams: int, frames: int
) -> tuple[CatalogRow, TokenRow]:
    """What a run would have written of a song."""
    song = hashlib.blake2b(entry.uri.encode(), digest_size=16).hexdigest()
    rng = np.random.default_rng(int(song[:8], 16))
    catalog = CatalogRow(
        entry.fingerprint, song, entry_to_json(entry), 180.0, 44100, 2, -14.0, 0.0, 0.0, rng.bytes(1024)
    )
    codes = rng.integers(0, CARDINALITY, (streams, frames), np.int16)
    tokens = TokenRow(
        song_id=song,
        uri=entry.uri,
        fingerprint=entry.fingerprint,
        title=entry.title,
        caption="",
        tags=(),
        seconds=180.0,
        source_rate=44100,
        source_channels=2,
        frame_rate=50.0,
        codes=codes,
        cardinality=CARDINALITY,
        layout=layout,
        separator=identity.separator,
        codecs=identity.codecs,
        loudness=-14.0,
        clipped=0.0,
        silence=0.0,
        vocal_score=0.01,
        stem_loudness=(-20.0,) * len(CODEBOOKS),
        residual_db=-20.0,
        split="train",
    )
    return catalog, tokens


def fill(config: PrepareConfig, entries: Sequence[CatalogEntry], frames: int = 50) -> TokenTable:
    table, resolved = TokenTable(config.table), resolve_prepare(config)
    table.create()
    for start in range(0, len(entries), config.commit_songs):
        some = entries[start : start + config.commit_songs]
        made = [
            rows_of(entry, resolved.identity, str(resolved.layout), resolved.layout.streams, frames) for entry in some
        ]
        table.commit_catalog([catalog for catalog, _ in made])
        table.commit_tokens([tokens for _, tokens in made])
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    shown = Table("songs", "unchanged run, as committed", "compacted", "one more file, broken (starts Ray)")
    for songs in parser.parse_args().songs:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            write_files(root / "songs", songs)
            write_models(root)
            config = PrepareConfig(
                catalog=str(root / "songs"),
                table=str(root / "table"),
                separator=str(root / "separator"),
                codecs=str(root / "codecs"),
            )
            table = fill(config, import_catalog(config.catalog))
            as_committed = seconds(lambda config=config: prepare(config))  # type: ignore[misc]
            table.compact()
            compacted = seconds(lambda config=config: prepare(config))  # type: ignore[misc]
            (root / "songs" / "000" / "another.flac").write_bytes(b"no song")
            with_new = seconds(lambda config=config: prepare(config))  # type: ignore[misc]
            shown.add_row(f"{songs:,}", f"{as_committed:.1f} s", f"{compacted:.1f} s", f"{with_new:.1f} s")
    Console().print(shown)


if __name__ == "__main__":
    main()
