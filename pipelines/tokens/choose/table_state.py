"""What the table holds when a run begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.catalog.schema import CatalogEntry
from pipelines.table.captions import SongWords, StoredFile
from pipelines.table.schema import DroppedRow, Identity, StemsRow
from pipelines.table.splits import SUNG
from pipelines.table.token_table import TokenTable
from pipelines.tokens.songs.reasons import DUPLICATE
from pipelines.tokens.songs.work import Work

_FACTS = ("fingerprint", "song_id", "seconds", "source_rate", "source_channels", "loudness", "clipped", "silence")
_WORDS = ("title", "caption", "tags")
_TOKENIZED = ("song_id", "fingerprint", "uri", "separator", "codecs", "layout", *_WORDS, "vocal_score", "split")


@dataclass(frozen=True)
class FileFacts:
    """The measurements of a file's sound; see :data:`pipelines.table.schema.CATALOG`."""

    fingerprint: str
    song_id: str
    seconds: float
    source_rate: int
    source_channels: int
    loudness: float
    clipped: float
    silence: float


@dataclass(frozen=True)
class TokenizedSong:
    """A row of tokens, without its codes."""

    song_id: str
    fingerprint: str
    uri: str
    separator: str
    codecs: str
    layout: str
    words: SongWords
    vocal_score: float
    split: str


@dataclass(frozen=True)
class SongState:
    """What the table has of one song by one separator.

    Args:
        tokenized: its rows of tokens, by any codecs.
        dropped: its rows among the songs with vocals, those that a tag decided included.
        kept: its kept stems, if any.
    """

    tokenized: tuple[TokenizedSong, ...]
    dropped: tuple[DroppedRow, ...]
    kept: StemsRow | None

    @property
    def vocal_score(self) -> float | None:
        """The vocal score of the whole song, stored with its tokens or stems; None without either."""
        stored = [row.vocal_score for row in self.tokenized] + ([self.kept.vocal_score] if self.kept else [])
        return stored[0] if stored else None

    @property
    def lower_bound(self) -> float | None:
        """The score of the whole song or, of a dropped one, the highest of a few stretches, if there is any.

        A stretch's score is not above the whole song's (models.separation.probe): it is enough to drop a song again.
        """
        heard = [row.vocal_score for row in self.dropped if row.vocal_score is not None]
        return self.vocal_score if self.vocal_score is not None else max(heard, default=None)

    @property
    def left_out(self) -> bool:
        """Whether the song counts as sung by what the table says of it."""
        return bool(self.dropped) or (bool(self.tokenized) and all(row.split == SUNG for row in self.tokenized))

    def has_codes_by(self, codecs: str) -> bool:
        """Whether these codecs have tokenized it."""
        return any(row.codecs == codecs for row in self.tokenized)

    def work(self, entry: CatalogEntry, song: FileFacts, separator: str, layout: StemLayout, codecs: str) -> Work:
        """What it takes to tokenize the song: stems that are kept are not separated again, nor codes made twice."""
        whole = self.kept is not None and set(layout.names) <= set(self.kept.stems)
        folder = self.kept.folder if self.kept is not None and whole else ""
        encode = missing_stems(layout, codecs, self.tokenized) if folder else ()
        names = encode or layout.names
        return Work(entry, song.song_id, song.seconds, separator, names, folder, self.vocal_score)


@dataclass(frozen=True)
class TableState:
    """The table's rows, indexed for what a run asks.

    Args:
        facts: of readable files, by fingerprint.
        tokenized: rows of tokens, by song.
        dropped: songs with vocals, by fingerprint.
        dropped_songs: the same, by song, where the file has been read.
        quarantined: why this run would quarantine a file again, by fingerprint.
        duplicates: fingerprints of files that hold the audio of another file.
        stems: kept stems, by song and separator.
        removed_songs: songs that were taken down.
        removed_files: fingerprints of their files.
        files: readable files as the table has them, by fingerprint.
        aside: addresses of all files in the quarantine, whichever run put them there, by fingerprint.
    """

    facts: Mapping[str, FileFacts]
    tokenized: Mapping[str, Sequence[TokenizedSong]]
    dropped: Mapping[str, Sequence[DroppedRow]]
    dropped_songs: Mapping[str, Sequence[DroppedRow]]
    quarantined: Mapping[str, str]
    duplicates: frozenset[str]
    stems: Mapping[tuple[str, str], StemsRow]
    removed_songs: frozenset[str]
    removed_files: frozenset[str]
    files: Mapping[str, StoredFile]
    aside: Mapping[str, str]

    def song(self, song_id: str, separator: str) -> SongState:
        """What the table has of one song by one separator."""
        return SongState(
            tokenized=tuple(row for row in self.tokenized.get(song_id, ()) if row.separator == separator),
            dropped=tuple(row for row in self.dropped_songs.get(song_id, ()) if row.separator in ("", separator)),
            kept=self.stems.get((song_id, separator)),
        )


EMPTY_STATE = TableState({}, {}, {}, {}, {}, frozenset(), {}, frozenset(), frozenset(), {}, {})
"""The state of a table that does not exist yet."""


def read_state(table: TokenTable, identity: Identity) -> TableState:
    """Read the table's state for a run with this identity.

    Its quarantine holds files that no run can use, and those that these models failed on.
    """
    aside = table.quarantine(["fingerprint", "uri", "reason", "separator", "codecs", "limits"]).to_pylist()
    duplicates = frozenset(row["fingerprint"] for row in aside if row["reason"] == DUPLICATE)
    quarantined = {
        row["fingerprint"]: row["reason"]
        for row in aside
        if row["limits"] == identity.limits
        and (row["separator"], row["codecs"]) in (("", ""), (identity.separator, identity.codecs))
        and row["reason"] != DUPLICATE
    }
    dropped = [DroppedRow(**{**row, "tags": tuple(row["tags"])}) for row in table.dropped().to_pylist()]
    removed = table.removed()
    return TableState(
        facts=_read_facts(table),
        tokenized=_by_song(table.rows(columns=_TOKENIZED)),
        dropped=_grouped((row.fingerprint, row) for row in dropped),
        dropped_songs=_grouped((row.song_id, row) for row in dropped if row.song_id),
        quarantined=quarantined,
        duplicates=duplicates,
        stems=_read_stems(table),
        removed_songs=frozenset(removed["song_id"].to_pylist()),
        removed_files=frozenset(name for names in removed["fingerprints"].to_pylist() for name in names),
        files=_read_files(table),
        aside={row["fingerprint"]: row["uri"] for row in aside},
    )


def codec_by_stem(codecs: str) -> dict[str, str]:
    """Ids of codecs by stem, from a row's ``codecs``.

    Raises:
        StemsError: it has another form.
    """
    try:
        return dict(part.split("=", 1) for part in codecs.split(","))
    except ValueError as error:
        raise StemsError(
            f"'{codecs}' in the column 'codecs' does not name a codec for each stem.",
            "Restore the table.",
            code="contract",
        ) from error


def missing_stems(layout: StemLayout, codecs: str, rows: Sequence[TokenizedSong]) -> tuple[str, ...]:
    """The stems of a song that none of its rows has codes of by these codecs."""
    wanted = codec_by_stem(codecs)
    have = {pair for row in rows for pair in codec_by_stem(row.codecs).items()}
    return tuple(name for name in layout.names if (name, wanted[name]) not in have)


def _read_facts(table: TokenTable) -> dict[str, FileFacts]:
    rows = table.catalog(_FACTS)
    columns = (rows[name].to_pylist() for name in _FACTS)
    return {row[0]: FileFacts(*row) for row in zip(*columns, strict=True)}


def _read_files(table: TokenTable) -> dict[str, StoredFile]:
    rows = table.catalog(("fingerprint", "entry"))
    entries = map(json.loads, rows["entry"].to_pylist())
    return {
        fingerprint: StoredFile(entry["uri"], SongWords(entry["title"], entry["caption"], tuple(entry["tags"])))
        for fingerprint, entry in zip(rows["fingerprint"].to_pylist(), entries, strict=True)
    }


def _read_stems(table: TokenTable) -> dict[tuple[str, str], StemsRow]:
    rows = (
        StemsRow(**{**row, "stems": tuple(row["stems"]), "stem_loudness": tuple(row["stem_loudness"])})
        for row in table.stems().to_pylist()
    )
    return {(row.song_id, row.separator): row for row in rows}


def _by_song(rows: pa.Table) -> dict[str, list[TokenizedSong]]:
    columns = (rows[name].to_pylist() for name in _TOKENIZED)
    found: dict[str, list[TokenizedSong]] = {}
    for values in zip(*columns, strict=True):
        row = dict(zip(_TOKENIZED, values, strict=True))
        words = SongWords(row.pop("title"), row.pop("caption"), tuple(row.pop("tags")))
        found.setdefault(row["song_id"], []).append(TokenizedSong(**row, words=words))
    return found


def _grouped(rows: Iterable[tuple[str, DroppedRow]]) -> dict[str, list[DroppedRow]]:
    found: dict[str, list[DroppedRow]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    return found
