"""The songs of a token table as training reads them: codes in memory, found by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.tokens.schema import codes_from_arrow
from pipelines.tokens.table import TokenTable


@dataclass(frozen=True)
class Song:
    """One song: its id, ``codes`` int16 ``[streams, frames]``, caption and tags."""

    song_id: str
    codes: np.ndarray
    caption: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class SongSet:
    """The songs of one table version that share a layout and codecs, sorted by id so that an index is a song."""

    train: Sequence[Song]
    valid: Sequence[Song]
    layout: StemLayout
    codecs: dict[str, str]
    version: int


def read_songs(root: str, version: int | None, codecs: dict[str, str] | None = None) -> SongSet:
    """Read a table version.

    Args:
        root: folder of the token table.
        version: which version; the newest where None.
        codecs: codec digests by stem; the songs made by other codecs are left out. None takes the table's
            only set, and refuses a table with several.

    Raises:
        StemsError: there are no such songs, none to train on, or several sets of codecs to choose from.
    """
    table = TokenTable(root)
    version = table.version if version is None else version
    rows = table.rows(version=version, columns=["song_id", "codes", "caption", "tags", "split", "layout", "codecs"])
    if codecs is not None:
        wanted = {tuple(sorted(codecs.items()))}
        made_by = {text: _codec_ids(text) for text in pc.unique(rows["codecs"]).to_pylist()}
        matching = [text for text, ids in made_by.items() if tuple(sorted(ids.items())) in wanted]
        rows = rows.filter(pc.is_in(rows["codecs"], pa.array(matching, pa.string())))
    kinds = set(zip(rows["layout"].to_pylist(), rows["codecs"].to_pylist(), strict=True))
    if len(kinds) != 1:
        raise StemsError(
            f"The token table '{root}' has songs of {len(kinds)} sets of codecs.",
            "Give the codecs whose songs to use." if kinds else "Run `stems prepare` with these codecs first.",
            code="empty" if not kinds else "ambiguous",
            field="codecs",
        )
    [(layout, made_by_text)] = kinds
    train, valid = ([_song(row) for row in _split(rows, split)] for split in ("train", "valid"))
    if not train:
        raise StemsError(
            f"The token table '{root}' has no training songs.", "Prepare more songs.", code="empty", field="table"
        )
    return SongSet(train, valid, StemLayout.parse(layout), _codec_ids(made_by_text), version)


def _split(rows: pa.Table, split: str) -> list[dict[str, object]]:
    part = rows.filter(pc.equal(rows["split"], split)).sort_by("song_id")
    columns = {name: part[name] for name in ("song_id", "codes", "caption", "tags")}
    return [{name: column[i] for name, column in columns.items()} for i in range(len(part))]


def _song(row: dict[str, object]) -> Song:
    values = {name: value.as_py() for name, value in row.items() if name != "codes"}  # type: ignore[attr-defined]
    return Song(
        values["song_id"], codes_from_arrow(row["codes"]), values["caption"] or "", tuple(values["tags"] or ())
    )


def _codec_ids(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))
