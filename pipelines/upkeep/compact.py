"""`stems table compact` and `stems table vacuum`: fewer data files, and none that no version needs."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from pipelines.catalog.storage.files import remove_tree
from pipelines.table.keyed_table import Compaction
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import CompactConfig, VacuumConfig
from pipelines.upkeep.stem_store import roots, unfinished


@dataclass(frozen=True)
class CompactReport:
    """Data files before and after, by table."""

    tables: dict[str, Compaction]

    def summary(self) -> Table:
        """The report for a terminal."""
        table = Table("table", "files before", "after")
        for name, files in self.tables.items():
            table.add_row(name, str(files.before), str(files.after))
        return table


@dataclass(frozen=True)
class VacuumReport:
    """What was deleted, or would be.

    Args:
        files: data files by table, relative to it.
        stems: unfinished files and folders of stems.
        dry_run: whether nothing was deleted.
    """

    files: dict[str, list[str]]
    stems: list[str]
    dry_run: bool

    def summary(self) -> Table:
        """The report for a terminal."""
        table = Table("table", "would delete" if self.dry_run else "deleted")
        for name, files in self.files.items():
            table.add_row(name, f"{len(files)} files")
        table.add_row("unfinished stems", str(len(self.stems)))
        return table


def compact(config: CompactConfig) -> CompactReport:
    """Join the small files of each table; no row changes, and earlier versions stay readable.

    Raises:
        StemsError: there is no table.
    """
    return CompactReport(TokenTable(config.table).compact(config.target_mb))


def vacuum(config: VacuumConfig) -> VacuumReport:
    """Delete data files that only versions older than some hours use, and stems that killed jobs left unfinished.

    Those versions can no longer be read, not even by a training that pinned one.

    Raises:
        StemsError: there is no table.
    """
    table = TokenTable(config.table)
    files = table.vacuum(config.hours, config.dry_run)
    folders = table.read("stems", ["folder"])["folder"].to_pylist()
    left = [uri for root in roots(folders) for uri in unfinished(root, config.hours)]
    if not config.dry_run:
        for uri in left:
            remove_tree(uri)
    return VacuumReport(files, left, config.dry_run)
