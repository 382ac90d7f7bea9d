"""The songs of a token table for training, accessed by index: a memory-mapped file, not objects in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import StemsError
from models.files.partial import clean_up, discard, hidden
from models.files.storage import storage_errors
from models.stems import StemLayout
from pipelines.table.schema import TOKENS, codes_from_arrow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.choose.table_state import codec_by_stem

COLUMNS = ("song_id", "codes", "caption", "tags", "split")
SPLITS = ("train", "valid")
"""The splits in use; a table may have others, such as sung songs."""


@dataclass(frozen=True)
class TrainingSong:
    """One song: its id, ``codes`` int16 ``[streams, frames]``, caption and tags."""

    song_id: str
    codes: np.ndarray
    caption: str
    tags: tuple[str, ...]


class Songs(Sequence[TrainingSong]):
    """Rows of an Arrow table as :class:`TrainingSong`, made on access; codes stay in Arrow's memory."""

    def __init__(self, rows: pa.Table, order: np.ndarray) -> None:
        self._columns = {name: rows[name] for name in COLUMNS}
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    @overload
    def __getitem__(self, index: int) -> TrainingSong: ...

    @overload
    def __getitem__(self, index: slice) -> Songs: ...

    def __getitem__(self, index: int | slice) -> TrainingSong | Songs:
        if isinstance(index, slice):
            part = object.__new__(Songs)
            part._columns, part._order = self._columns, self._order[index]
            return part
        row = int(self._order[index])
        song_id, caption, tags = (self._columns[name][row].as_py() for name in ("song_id", "caption", "tags"))
        return TrainingSong(song_id, codes_from_arrow(self._columns["codes"][row]), caption or "", tuple(tags or ()))


@dataclass(frozen=True)
class Selection:
    """The songs of one table version, one layout and one set of codecs.

    ``made_by`` are the values of the table's column ``codecs`` that name that set.
    """

    root: str
    version: int
    layout: StemLayout
    codecs: dict[str, str]
    made_by: tuple[str, ...]

    def file(self, folder: Path) -> Path:
        """The file of these songs."""
        name = hashlib.blake2b(f"{self.root}\0{sorted(self.made_by)}".encode(), digest_size=6).hexdigest()
        return folder / f"{name}-{self.version}.arrow"


@dataclass(frozen=True)
class SongSet:
    """The songs of one table version that share a layout and codecs, sorted by id so that an index is a song."""

    train: Sequence[TrainingSong]
    valid: Sequence[TrainingSong]
    layout: StemLayout
    codecs: dict[str, str]
    version: int


def select_songs(root: str, version: int | None, codecs: dict[str, str] | None = None) -> Selection:
    """Choose the songs to train on, without reading their codes.

    Args:
        root: folder of the token table, local or ``s3://``.
        version: the version; None for the newest.
        codecs: codec digests by stem; the songs made by other codecs are left out. None takes the table's
            only set, and refuses a table with several.

    Raises:
        StemsError: there are no such songs, or several sets of codecs to choose from.
    """
    table = TokenTable(root)
    version = table.version if version is None else version
    kinds = table.rows(version=version, columns=["layout", "codecs"]).group_by(["layout", "codecs"]).aggregate([])
    found = [(row["layout"], row["codecs"]) for row in kinds.to_pylist()]
    wanted = [(layout, text) for layout, text in found if codecs is None or codec_by_stem(text) == codecs]
    if len({(layout, *sorted(codec_by_stem(text).items())) for layout, text in wanted}) != 1:
        raise StemsError(
            f"The token table '{root}' has songs of {len(wanted)} sets of codecs.",
            "Name the codecs of the songs to use." if wanted else "Run `stems prepare` with these codecs first.",
            code="empty" if not wanted else "ambiguous",
            field="codecs",
        )
    layout, text = wanted[0]
    return Selection(root, version, StemLayout.parse(layout), codec_by_stem(text), tuple(text for _, text in wanted))


def open_songs(selection: Selection, folder: Path) -> SongSet:
    """Map the selected songs into memory, after copying them out of the table if there is no copy yet.

    All processes of a machine share the pages of the file, and only accessed pages are read.

    Args:
        selection: the songs.
        folder: folder of the copy: int16, so 0.36 MB per hour and stream at 50 Hz. It may be deleted while nothing
            trains.

    Raises:
        StemsError: there are no songs to train on.
    """
    file = selection.file(folder)
    if not file.exists():
        _copy(selection, file)
    rows = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    train, valid = (Songs(rows, _order(rows, split)) for split in SPLITS)
    if not train:
        raise StemsError(
            f"The token table '{selection.root}' has no training songs.",
            "Prepare more songs.",
            code="empty",
            field="table",
        )
    return SongSet(train, valid, selection.layout, selection.codecs, selection.version)


def _copy(selection: Selection, file: Path) -> None:
    """Write the songs as one Arrow file, which appears complete or not at all."""
    with storage_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        clean_up(file)
        partial = hidden(file)
        schema = pa.schema([TOKENS.field(name) for name in COLUMNS])
        try:
            with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                wanted = {"codecs": selection.made_by}
                for batch in TokenTable(selection.root).stream(COLUMNS, wanted, selection.version):
                    used = pc.is_in(batch["split"], pa.array(SPLITS))
                    writer.write_batch(batch.filter(used).cast(schema))
            partial.replace(file)
        finally:
            discard(partial)


def _order(rows: pa.Table, split: str) -> np.ndarray:
    """Rows of a split, by song id."""
    mine = np.flatnonzero(pc.equal(rows["split"], split).to_numpy())
    ids = rows["song_id"].to_numpy()[mine]
    return mine[np.argsort(ids, kind="stable")]
