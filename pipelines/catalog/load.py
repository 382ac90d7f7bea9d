"""Import a catalog in any format: songs in a stable order, as typed entries."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from models.audio.formats import listed_suffixes
from models.errors import StemsError
from pipelines.catalog.config import Format
from pipelines.catalog.detect import detect
from pipelines.catalog.formats import (
    audiocraft,
    catalog,
    folder,
    jamendo,
    lhotse,
    manifest,
    moisesdb,
    multitrack,
    musdb,
    nemo,
    slakh,
)
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source, has_suffix

logger = logging.getLogger(__name__)

READERS: Mapping[Format, Callable[[Source], list[CatalogEntry]]] = {
    "folder": folder.songs,
    "manifest": manifest.songs,
    "huggingface": manifest.songs,
    "audiocraft": audiocraft.songs,
    "lhotse": lhotse.songs,
    "nemo": nemo.songs,
    "jamendo": jamendo.songs,
    "musdb": musdb.songs,
    "moisesdb": moisesdb.songs,
    "slakh": slakh.songs,
    "multitrack": multitrack.songs,
    "catalog": catalog.songs,
}

_NEEDS_MANIFEST = ("nemo", "jamendo", "catalog")
_NEEDS_FOLDER = ("musdb", "moisesdb", "slakh", "multitrack")


def import_catalog(
    path: str, manifest: str = "", *, format: Format = "auto", allow_hosts: Sequence[str] = ()
) -> list[CatalogEntry]:
    """List the songs of a catalog in a stable order (by name; of a manifest, in its order).

    Audio files are not opened: the job that reads them finds their errors.

    Args:
        path: a folder, or a manifest (names in it are relative to its own folder). Local, ``s3://``, or of a
            manifest ``http(s)://``.
        manifest: a manifest beside the folder. Of the plain kind (``metadata.jsonl``, ``.csv`` or ``.parquet``, in
            the folder found by itself) it says more about the folder's files, before their sidecars do, and may name
            others; of any other kind it names the songs, relative to the folder.
        format: format of the catalog; detected by default.
        allow_hosts: hosts that may be read from over HTTP.

    Raises:
        StemsError: nothing exists there, there is no audio, a line is bad, or a host is not allowed.
    """
    source = Source(path, manifest, tuple(allow_hosts))
    entries = read_songs(source, format)
    source.problems.raise_fatal()
    if source.problems.found:
        logger.warning("%d problems in '%s': `stems catalog --dry-run` lists them.", len(source.problems.found), path)
    return entries


def read_songs(source: Source, format: Format = "auto") -> list[CatalogEntry]:
    """The songs of a source; errors in lines and files are noted in its problems.

    Raises:
        StemsError: nothing can be read at all.
    """
    format = detect(source) if format == "auto" else format
    if format in ("manifest", "huggingface") and source.is_folder:
        format = "folder"  # about which the manifest only says more
    if format in _NEEDS_MANIFEST and not source.manifest:
        raise StemsError(
            f"'{source.path}' is a folder; songs in the format '{format}' are listed in a file.",
            "Name the file.",
            field="catalog",
        )
    if (format in _NEEDS_FOLDER or format == "folder") and not source.is_folder:
        raise StemsError(
            f"'{source.path}' is not a folder, but '{format}' is one.", "Name a folder.", field="catalog"
        )
    entries = READERS[format](source)
    if not entries and not source.problems.any_fatal:
        raise _no_songs(source, format)
    return entries


def _no_songs(source: Source, format: Format) -> StemsError:
    hint = f"Give a folder with {listed_suffixes()} files, or a manifest that names some."
    if format in _NEEDS_FOLDER:
        hint = f"Check that it has the layout of '{format}', or leave out the format to detect it."
    elif format == "folder":
        tables = [file.name for file in source.files if has_suffix(file.name, (".parquet", ".jsonl", ".csv"))]
        hint = f"It holds '{tables[0]}': if that lists songs, name it as the catalog." if tables else hint
    what = source.manifest or source.path
    return StemsError(f"There is no audio in '{what}'.", hint, code="empty", field="catalog")
