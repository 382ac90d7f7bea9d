"""Settings of `stems table …`. Light to import."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TableCommand(BaseModel):
    """Settings that every command on a token table has."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    table: str
    """Folder of the token table; local or s3://."""


class InfoConfig(TableCommand):
    """Show what a token table holds."""

    sources: bool = False
    """Look for the file of each song as well, and name the songs whose file is gone or was replaced. This machine
    must be able to reach the files."""


class VerifyConfig(TableCommand):
    """Check a token table against its contract (docs/TABLE.md); exit code 4 if a rule is broken."""

    examples: int = Field(5, ge=1)
    """Rows to name for each broken rule."""

    sources: bool = False
    """Look for the file of each song as well, and warn of songs whose file is gone or was replaced. This machine must
    be able to reach the files."""


class DiffConfig(BaseModel):
    """Compare the songs of two token tables, or of two versions of one."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    a: str
    """A token table, as it is (tokens) or as it was at a version (tokens@12)."""

    b: str
    """The table to compare it with, likewise."""


class CompactConfig(TableCommand):
    """Join a token table's small files. Earlier versions stay readable until `stems table vacuum`."""

    target_mb: int = Field(128, ge=1)
    """Size of file to aim for, in MB."""


class VacuumConfig(TableCommand):
    """Delete files that only versions older than some hours use, and unfinished folders of stems."""

    hours: int = Field(168, ge=0)
    """Versions of the last so many hours stay readable. Below the length of the longest job, stop all jobs first."""

    dry_run: bool = False
    """Only show what would be deleted."""


class RemoveConfig(TableCommand):
    """Take songs down: tokens, stems and catalog rows. The table remembers them, so that they never return."""

    songs: list[str]
    """Songs: an id, six or more first digits of one, an address, or a file name or title that no other song has."""

    reason: str = ""
    """Reason, for the record."""

    dry_run: bool = False
    """Only show what would be removed."""

    purge: bool = False
    """Delete the data files of earlier versions as well, at once: runs that pinned one can no longer read it. Stop
    all jobs on this table first."""


class ExportConfig(TableCommand):
    """Write songs as tar shards that WebDataset reads."""

    output: str
    """Folder of the shards; local or s3://."""

    version: int | None = Field(None, ge=0)
    """Version of the songs; the newest by default."""

    shard_mb: int = Field(128, ge=1)
    """Size at which a shard is full, in MB; a shard is built in memory."""

    separator_id: str = ""
    """Only songs by this separator, if there are several: a value of column `separator`, see `stems table info`."""

    codecs_id: str = ""
    """Only songs by these codecs, if there are several sets: a value of column `codecs`, see `stems table info`."""

    splits: list[Literal["train", "valid", "sung"]] = ["train", "valid"]
    """Splits to export."""

    overwrite: bool = False
    """Replace an export of another version or selection."""
