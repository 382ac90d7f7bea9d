"""Settings of `stems catalog`, and the formats of catalogs by name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Format = Literal[
    "auto",
    "folder",
    "manifest",
    "huggingface",
    "audiocraft",
    "lhotse",
    "nemo",
    "jamendo",
    "musdb",
    "moisesdb",
    "slakh",
    "multitrack",
    "catalog",
]


class CatalogConfig(BaseModel):
    """From a source of songs to one typed catalog, or a report on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Folder of audio or of multitrack songs, or a manifest; local, s3:// or, of an allowed host, http(s)://."""

    manifest: str = ""
    """Captions, tags and titles for a folder's files: JSONL, CSV or Parquet; metadata.* in it is found by itself."""

    format: Format = "auto"
    """What the source is; by default found out by looking at it."""

    allow_hosts: list[str] = []
    """Hosts from which http(s) addresses may be read."""

    output: str = ""
    """Parquet file to write the catalog to, local or s3://, which `stems prepare` reads as its catalog."""

    dry_run: bool = False
    """Report only: counts, hours, formats and every problem, and nothing is written."""
