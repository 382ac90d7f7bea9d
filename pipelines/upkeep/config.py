"""Settings of `stems table …`. Light to import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TableCommand(BaseModel):
    """Settings shared by all commands on a token table."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    """Folder of the token table; local or s3://."""


class InfoConfig(TableCommand):
    """Show what a token table holds."""

    sources: bool = False
    """Also look for each song's file, and name the songs whose file is gone or was replaced. The files must be
    reachable from this machine."""


class VerifyConfig(TableCommand):
    """Check a token table against its contract (docs/TABLE.md); exit code 4 if a rule is broken."""

    examples: int = Field(5, ge=1)
    """Rows to name for each broken rule."""

    sources: bool = False
    """Also look for each song's file, and warn of songs whose file is gone or was replaced. The files must be
    reachable from this machine."""


class DiffConfig(BaseModel):
    """Compare the songs of two token tables, or of two versions of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    a: str
    """Token table, as it is (tokens) or at a version (tokens@12)."""

    b: str
    """Table to compare it with, or the same table at another version."""


class CompactConfig(TableCommand):
    """Join a token table's small files. Earlier versions stay readable until `stems table vacuum`."""

    target_mb: int = Field(128, ge=1)
    """Target size of a file, in MB."""


class VacuumConfig(TableCommand):
    """Delete files that only old versions use, and unfinished folders of stems."""

    hours: int = Field(168, ge=0)
    """Versions of the last hours stay readable, this many. If that is less than your longest job takes, stop all jobs
    first."""

    dry_run: bool = False
    """Show what would be deleted, and delete nothing."""


class RemoveConfig(TableCommand):
    """Remove songs for good: tokens, stems and catalog rows. Later runs leave them out."""

    songs: list[str]
    """Songs: each an id, its first six or more digits, an address, or a file name or title that no other song has."""

    reason: str = ""
    """Why they are removed, for the record."""

    dry_run: bool = False
    """Show what would be removed, and remove nothing."""

    purge: bool = False
    """Also delete the data files of earlier versions at once; runs that pinned a version can no longer read it. Stop
    all jobs on this table first."""


class ExportConfig(TableCommand):
    """Write songs as tar shards that WebDataset reads."""

    output: str
    """Folder of the shards; local or s3://."""

    version: int | None = Field(None, ge=0)
    """Version of the table; by default the newest."""

    shard_mb: int = Field(128, ge=1)
    """Size of a shard, in MB; a shard is built in memory."""

    separator_id: str = ""
    """Only songs of this separator, if the table has several: its id as `stems table info` shows it."""

    codecs_id: str = ""
    """Only songs of these codecs, if the table has several sets: their id as `stems table info` shows it."""

    splits: list[Literal["train", "valid", "sung"]] = ["train", "valid"]
    """Splits to export."""

    overwrite: bool = False
    """Replace an export of another version or selection."""
