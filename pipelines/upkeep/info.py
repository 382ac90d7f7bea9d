"""`stems table info`: what a token table holds, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from rich.markup import escape
from rich.table import Table

from models.stems import StemLayout
from pipelines.table.entropy import unigram_entropy
from pipelines.table.schema import SCHEMA_VERSION, TOKENS
from pipelines.table.token_table import StoredFiles, TokenTable
from pipelines.upkeep.config import InfoConfig
from pipelines.upkeep.source_files import LostSources, lost_sources

_SAMPLE = 256
_NAMED = 20
_SONGS_AT_A_TIME = 32
_SET = ("layout", "separator", "codecs")


@dataclass(frozen=True)
class SongTotals:
    """Some songs: how many rows, hours and frames they have."""

    songs: int
    hours: float
    frames: int


@dataclass(frozen=True)
class InfoReport:
    """What a token table holds.

    Args:
        table: its folder.
        schema_version: version of the schema.
        versions: newest version of each table.
        splits: rows of tokens by split.
        sets: rows of tokens by layout, separator and codecs.
        dropped: songs with vocals, by the rule that dropped them.
        quarantine: files by reason.
        stems: songs whose stems are kept.
        removed: songs that were taken down.
        stored: data files of each table.
        sources: songs whose files are gone or replaced; None unless they were looked for.
        bits: bits per code on disk, all columns of its song included; 0 without songs.
        entropy_bits: unigram entropy in bits per code, of the first songs of each set.
    """

    table: str
    schema_version: int
    versions: dict[str, int]
    splits: dict[str, SongTotals]
    sets: dict[tuple[str, str, str], SongTotals]
    dropped: dict[str, int]
    quarantine: dict[str, int]
    stems: int
    removed: int
    stored: dict[str, StoredFiles]
    sources: LostSources | None
    bits: float
    entropy_bits: float

    def summary(self) -> Table:
        """The numbers for a terminal."""
        table = Table("", "", "", title=f"{self.table}, schema {self.schema_version}", show_header=False)
        for split, part in self.splits.items():
            table.add_row(split, f"{part.songs} songs", f"{part.hours:.2f} hours")
        for (layout, separator, codecs), part in self.sets.items():
            table.add_row(f"layout {layout}\nseparator {separator}\ncodecs {codecs}", f"{part.songs} songs", "")
        table.add_section()
        for rule, count in self.dropped.items():
            table.add_row(f"dropped by {rule}", str(count), "")
        for reason, count in self.quarantine.items():
            table.add_row(f"quarantined: {reason}", str(count), "")
        table.add_row("songs with kept stems", str(self.stems), "")
        table.add_row("songs taken down", str(self.removed), "")
        if self.sources is not None:
            for what, songs in (("gone", self.sources.gone), ("replaced or written again", self.sources.replaced)):
                table.add_row(f"songs whose file is {what}", str(len(songs)), "")
                for song in songs[:_NAMED]:
                    table.add_row(escape(f"  {song}"), "", "", style="dim")
                if len(songs) > _NAMED:
                    table.add_row(f"  and {len(songs) - _NAMED} more", "", "", style="dim")
        table.add_section()
        for name, stored in self.stored.items():
            size = f"{stored.files} files, {stored.bytes / 1e6:.1f} MB"
            table.add_row(name, f"version {self.versions[name]}", size)
        table.add_row("bits a code", f"{self.bits:.3f}", f"unigram entropy {self.entropy_bits:.3f}")
        return table


def info(config: InfoConfig) -> InfoReport:
    """Count what a token table holds; codes are read of a few hundred songs only.

    Raises:
        StemsError: there is no table.
    """
    table = TokenTable(config.table)
    versions = table.versions()
    songs = table.rows(version=versions["tokens"], columns=(*_SET, "song_id", "split", "seconds", "frames"))
    sets = _parts(songs, _SET)
    codes = {kind: part.frames * StemLayout.parse(kind[0]).streams for kind, part in sets.items()}
    stored = table.stored()
    total = sum(codes.values())
    return InfoReport(
        table=table.root,
        schema_version=SCHEMA_VERSION,
        versions=versions,
        splits={split: part for (split,), part in _parts(songs, ("split",)).items()},
        sets={(layout, separator, codecs): part for (layout, separator, codecs), part in sets.items()},
        dropped=_counts(table, "dropped", "decided_by"),
        quarantine=_counts(table, "quarantine", "reason"),
        stems=sum(_counts(table, "stems", "separator").values()),
        removed=len(table.removed()),
        stored=stored,
        sources=_sources(table, versions["tokens"]) if config.sources else None,
        bits=8 * stored["tokens"].bytes / total if total else 0.0,
        entropy_bits=_entropy_bits(table, versions["tokens"], codes),
    )


def _sources(table: TokenTable, version: int) -> LostSources:
    return lost_sources(table.rows(version=version, columns=("song_id", "uri")), table.catalog(("song_id", "entry")))


def _parts(songs: pa.Table, columns: Sequence[str]) -> dict[tuple[str, ...], SongTotals]:
    """Songs and hours by the values of some columns, sorted by them."""
    sums = [("song_id", "count"), ("seconds", "sum"), ("frames", "sum")]
    grouped = songs.group_by(list(columns)).aggregate(sums).sort_by([(column, "ascending") for column in columns])
    return {
        tuple(row[column] for column in columns): SongTotals(
            row["song_id_count"], row["seconds_sum"] / 3600, row["frames_sum"]
        )
        for row in grouped.to_pylist()
    }


def _counts(table: TokenTable, name: str, column: str) -> dict[str, int]:
    return dict(sorted(Counter(table.read(name, [column])[column].to_pylist()).items()))


def _entropy_bits(table: TokenTable, version: int, codes: Mapping[tuple[str, ...], int]) -> float:
    """Unigram entropy in bits per code: the mean over the streams of each set, weighted by the sets' codes."""
    total = sum(codes.values())
    return sum(count / total * _sampled_entropy(table, version, kind) for kind, count in codes.items() if count)


def _sampled_entropy(table: TokenTable, version: int, kind: tuple[str, ...]) -> float:
    wanted = {name: [value] for name, value in zip(_SET, kind, strict=True)}
    schema, sample = pa.schema([TOKENS.field("codes")]), []
    for batch in table.stream(["codes"], wanted, version, _SONGS_AT_A_TIME):
        sample.append(batch.cast(schema))
        if sum(map(len, sample)) >= _SAMPLE:
            break
    entropy = unigram_entropy(pa.Table.from_batches(sample), StemLayout.parse(kind[0]))
    return float(np.mean(list(entropy.values())) / np.log(2))
