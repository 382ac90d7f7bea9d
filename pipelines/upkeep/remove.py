"""`stems table remove`: take songs down for good.

The record of the takedown is written first. From then on no run adds the song again, and a removal that was killed is
finished by running the same command once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.markup import escape
from rich.table import Table

from pipelines.catalog.storage.files import remove_tree
from pipelines.table.schema import KEYS, RemovedRow
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import RemoveConfig
from pipelines.upkeep.lookup import Lookup, SongRecord

_BY_FILE = ("catalog", "dropped", "quarantine")


@dataclass(frozen=True)
class RemoveReport:
    """What was removed, or would be.

    Args:
        songs: id, title and number of files of each song.
        counts: rows by table, and folders of stems.
        purged: number of data files that were deleted.
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
    """Take songs down: tokens, kept stems, and their rows in every table. Run again, it finishes a killed removal.

    The catalog's own files stay. Earlier versions of the table hold the songs until a vacuum, and copies that
    trainings and exports made stay as well.

    Raises:
        StemsError: no table, or a name that no song or several songs have; nothing has changed then.
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
    table.compact()
    return RemoveReport(listed, counts, purged=sum(map(len, table.vacuum(hours=0).values())))


def _steps(table: TokenTable, songs: Sequence[SongRecord], reason: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """The steps, in order: the record first, and a row that points to files after those files."""
    ids = [song.song_id for song in songs]
    fingerprints = sorted(set().union(*(song.fingerprints for song in songs)))
    yield "taken down", lambda: _record(table, songs, reason)
    yield "tokens", lambda: table.delete_songs("tokens", ids)
    yield "stem folders", lambda: _delete_folders(_folders(table, ids))
    yield "stems", lambda: table.delete_songs("stems", ids)
    for name in _BY_FILE:
        yield name, lambda name=name: table.delete_songs(name, ids)  # type: ignore[misc]
        yield name, lambda name=name: table.delete_files(name, fingerprints)  # type: ignore[misc]


def _record(table: TokenTable, songs: Sequence[SongRecord], reason: str) -> int:
    """Record the takedowns, or add files found since to earlier records; return how many songs are new."""
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
    table.revise_removed(changed)
    return fresh


def _folders(table: TokenTable, ids: Sequence[str]) -> list[str]:
    rows = table.read("stems", ["folder"], {"song_id": ids})
    return sorted(set(rows["folder"].to_pylist()))


def _delete_folders(folders: Sequence[str]) -> int:
    for folder in folders:
        remove_tree(folder)
    return len(folders)


def _count(table: TokenTable, songs: Sequence[SongRecord]) -> dict[str, int]:
    """Rows that would go, by table."""
    ids = [song.song_id for song in songs]
    fingerprints = sorted(set().union(*(song.fingerprints for song in songs)))
    counts = {name: len(table.read(name, ["song_id"], {"song_id": ids})) for name in ("tokens", "stems")}
    for name in _BY_FILE:
        by_song = table.read(name, KEYS[name], {"song_id": ids}).to_pylist()
        by_file = table.read(name, KEYS[name], {"fingerprint": fingerprints}).to_pylist()
        counts[name] = len({tuple(row.values()) for row in by_song + by_file})
    return counts
