"""What the table knows when a run begins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from models.errors import StemsError
from pipelines.table.captions import SongWords, StoredFile
from pipelines.table.schema import DroppedRow, Identity, StemsRow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.songs.reasons import DUPLICATE

_FACTS = ("fingerprint", "song_id", "seconds", "source_rate", "source_channels", "loudness", "clipped", "silence")
_WORDS = ("title", "caption", "tags")
_MADE = ("song_id", "fingerprint", "uri", "separator", "codecs", "layout", *_WORDS, "vocal_score", "split")


@dataclass(frozen=True)
class Facts:
    """What a file's sound was found to be; see :data:`pipelines.table.schema.CATALOG`."""

    fingerprint: str
    song_id: str
    seconds: float
    source_rate: int
    source_channels: int
    loudness: float
    clipped: float
    silence: float


@dataclass(frozen=True)
class Made:
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
class Known:
    """The table's state, by what it is asked for.

    Args:
        facts: of readable files, by fingerprint.
        made: rows of tokens, by song.
        dropped: songs with vocals, by fingerprint.
        dropped_songs: the same, by song, where the file has been read.
        quarantined: files that this run would put in quarantine again, by fingerprint, and the reason.
        duplicates: fingerprints of files that hold the audio of another one.
        stems: kept stems, by song and separator.
        removed_songs: songs that were taken down.
        removed_files: fingerprints of their files.
        files: readable files as the table has them, by fingerprint.
        aside: addresses of all files in the quarantine, whatever run put them there, by fingerprint.
    """

    facts: Mapping[str, Facts]
    made: Mapping[str, Sequence[Made]]
    dropped: Mapping[str, Sequence[DroppedRow]]
    dropped_songs: Mapping[str, Sequence[DroppedRow]]
    quarantined: Mapping[str, str]
    duplicates: frozenset[str]
    stems: Mapping[tuple[str, str], StemsRow]
    removed_songs: frozenset[str]
    removed_files: frozenset[str]
    files: Mapping[str, StoredFile]
    aside: Mapping[str, str]


NOTHING_KNOWN = Known({}, {}, {}, {}, {}, frozenset(), {}, frozenset(), frozenset(), {}, {})
"""Of a table that is not there yet."""


def read_known(table: TokenTable, identity: Identity) -> Known:
    """Read what the table knows. Quarantined are files that are no songs, and those that these models failed on."""
    aside = table.quarantine().select(["fingerprint", "uri", "reason", "separator", "codecs", "limits"]).to_pylist()
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
    return Known(
        facts=read_facts(table),
        made=_by_song(table.rows(columns=_MADE)),
        dropped=_grouped((row.fingerprint, row) for row in dropped),
        dropped_songs=_grouped((row.song_id, row) for row in dropped if row.song_id),
        quarantined=quarantined,
        duplicates=duplicates,
        stems=read_stems(table),
        removed_songs=frozenset(removed["song_id"].to_pylist()),
        removed_files=frozenset(name for names in removed["fingerprints"].to_pylist() for name in names),
        files=_read_files(table),
        aside={row["fingerprint"]: row["uri"] for row in aside},
    )


def read_facts(table: TokenTable) -> dict[str, Facts]:
    """Of every readable file, by fingerprint."""
    rows = table.catalog(_FACTS)
    columns = (rows[name].to_pylist() for name in _FACTS)
    return {row[0]: Facts(*row) for row in zip(*columns, strict=True)}


def _read_files(table: TokenTable) -> dict[str, StoredFile]:
    rows = table.catalog(("fingerprint", "entry"))
    entries = map(json.loads, rows["entry"].to_pylist())
    return {
        fingerprint: StoredFile(entry["uri"], SongWords(entry["title"], entry["caption"], tuple(entry["tags"])))
        for fingerprint, entry in zip(rows["fingerprint"].to_pylist(), entries, strict=True)
    }


def read_stems(table: TokenTable) -> dict[tuple[str, str], StemsRow]:
    """Kept stems, by song and separator."""
    rows = (
        StemsRow(**{**row, "stems": tuple(row["stems"]), "stem_loudness": tuple(row["stem_loudness"])})
        for row in table.stems().to_pylist()
    )
    return {(row.song_id, row.separator): row for row in rows}


def codec_by_stem(codecs: str) -> dict[str, str]:
    """Ids of codecs by stem, from a row's ``codecs``.

    Raises:
        StemsError: it has another form.
    """
    try:
        return dict(part.split("=", 1) for part in codecs.split(","))
    except ValueError as error:
        raise StemsError(f"'{codecs}' names no codecs.", "Restore the table.", code="contract") from error


def _by_song(rows: pa.Table) -> dict[str, list[Made]]:
    columns = (rows[name].to_pylist() for name in _MADE)
    made: dict[str, list[Made]] = {}
    for values in zip(*columns, strict=True):
        row = dict(zip(_MADE, values, strict=True))
        words = SongWords(row.pop("title"), row.pop("caption"), tuple(row.pop("tags")))
        made.setdefault(row["song_id"], []).append(Made(**row, words=words))
    return made


def _grouped(rows: Iterable[tuple[str, DroppedRow]]) -> dict[str, list[DroppedRow]]:
    found: dict[str, list[DroppedRow]] = {}
    for key, row in rows:
        found.setdefault(key, []).append(row)
    return found
