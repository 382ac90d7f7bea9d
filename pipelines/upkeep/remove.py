"""`stems table remove`: songs leave, and do not come back.

What was taken down is written first: from then on no run lets the song in, and whatever a kill leaves undone, the
same command does when it is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow.dataset as ds
from rich.markup import escape
from rich.table import Table

from pipelines.catalog.storage.files import remove_tree
from pipelines.table.schema import REMOVED, RemovedRow, plain_table
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.compact import compact_all, vacuum_all
from pipelines.upkeep.config import RemoveConfig
from pipelines.upkeep.lookup import Lookup, Traces

_BY_FILE = ("catalog", "dropped", "quarantine")


@dataclass(frozen=True)
class RemoveReport:
    """What went, or would go.

    Args:
        songs: id, title and number of files of each.
        counts: rows by table, and folders of stems.
        purged: data files that were deleted.
        dry_run: whether nothing was changed.
    """

    songs: tuple[tuple[str, str, int], ...]
    counts: dict[str, int] = field(default_factory=dict)
    purged: int = 0
    dry_run: bool = False

    def summary(self) -> Table:
        """The report for a terminal."""
        table = Table("would remove" if self.dry_run else "removed", "title", "files")
        for song_id, title, files in self.songs:
            table.add_row(song_id, escape(title), str(files))
        table.add_section()
        for name, count in self.counts.items():
            table.add_row(name, "", str(count))
        if self.purged:
            table.add_row("data files deleted: earlier versions cannot be read any more", "", str(self.purged))
        return table


def remove(config: RemoveConfig) -> RemoveReport:
    """Take songs down: tokens, kept stems, and their rows in every table; run again, it finishes what was begun.

    Files of the catalog itself are not touched. Earlier versions of the table hold the songs until a vacuum; copies
    that trainings and exports made are not known here.

    Raises:
        StemsError: no table, or a name that no song or several songs have; nothing has been changed then.
    """
    table = TokenTable(config.table)
    songs = Lookup(table).find(config.songs)
    listed = tuple((song.song_id, song.title, len(song.uris)) for song in songs)
    if config.dry_run:
        return RemoveReport(listed, _count(table, songs), dry_run=True)
    counts: dict[str, int] = {}
    for name, step in _steps(table, songs, config.reason):
        counts[name] = counts.get(name, 0) + step()
    if not config.purge:
        return RemoveReport(listed, counts)
    compact_all(table)
    return RemoveReport(listed, counts, purged=sum(map(len, vacuum_all(table, hours=0).values())))


def _steps(table: TokenTable, songs: Sequence[Traces], reason: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """What is to be done, in order: the record first, the rows that say where something is after that thing."""
    ids = [song.song_id for song in songs]
    fingerprints = sorted(set().union(*(song.fingerprints for song in songs)))
    yield "taken down", lambda: _record(table, songs, reason)
    yield "tokens", lambda: table.tables["tokens"].delete("song_id", ids)
    yield "stem folders", lambda: _delete_folders(_folders(table, ids))
    yield "stems", lambda: table.tables["stems"].delete("song_id", ids)
    for name in _BY_FILE:
        yield name, lambda name=name: table.tables[name].delete("song_id", ids)  # type: ignore[misc]
        yield name, lambda name=name: table.tables[name].delete("fingerprint", fingerprints)  # type: ignore[misc]


def _record(table: TokenTable, songs: Sequence[Traces], reason: str) -> int:
    """Write who is taken down, or add the files that have turned up since; return how many songs are new."""
    rows = [
        RemovedRow(
            song.song_id,
            tuple(sorted(song.uris)),
            tuple(sorted(song.fingerprints)),
            song.removed.title if song.removed else song.title,
            song.removed.reason if song.removed else reason,
        )
        for song in songs
    ]
    changed = [row for row, song in zip(rows, songs, strict=True) if song.removed and row != song.removed]
    fresh = table.commit_removed([row for row, song in zip(rows, songs, strict=True) if not song.removed])
    table.tables["removed"].replace(plain_table(changed, REMOVED), by="song_id")
    return fresh


def _folders(table: TokenTable, ids: Sequence[str]) -> list[str]:
    rows = table.tables["stems"].read(["folder"], ds.field("song_id").isin(ids))
    return sorted(set(rows["folder"].to_pylist()))


def _delete_folders(folders: Sequence[str]) -> int:
    for folder in folders:
        remove_tree(folder)
    return len(folders)


def _count(table: TokenTable, songs: Sequence[Traces]) -> dict[str, int]:
    """Rows that would go, by table."""
    ids = [song.song_id for song in songs]
    fingerprints = sorted(set().union(*(song.fingerprints for song in songs)))
    mine = ds.field("song_id").isin(ids)
    counts = {name: len(table.tables[name].read(["song_id"], mine)) for name in ("tokens", "stems")}
    mine = mine | ds.field("fingerprint").isin(fingerprints)
    return counts | {name: len(table.tables[name].read(["song_id"], mine)) for name in _BY_FILE}
