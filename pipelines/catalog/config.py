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
    """List the songs of a source in one catalog, or report its problems."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str
    """Folder of audio or of multitrack songs, or a manifest; local, s3://, or http(s):// on an allowed host."""

    manifest: str = ""
    """Captions, tags and titles of a folder's files: JSONL, CSV or Parquet. A metadata.* in the folder needs no
    option."""

    format: Format = "auto"
    """Format of the source; auto detects it."""

    allow_hosts: list[str] = []
    """Hosts whose http(s) addresses may be read."""

    output: str = ""
    """Parquet file to write the catalog to, local or s3://, which `stems prepare` reads as its catalog."""

    dry_run: bool = False
    """Report counts, hours, formats and every problem; write nothing."""
