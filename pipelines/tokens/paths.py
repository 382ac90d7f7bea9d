"""A job's folders, by names that are valid on every machine and after the job's end."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path

from models.errors import StemsError
from models.files.output_folder import check_folder
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source
from pipelines.catalog.storage.addresses import leads_to, lies_in
from pipelines.catalog.storage.files import absolute, is_remote, local_path
from pipelines.table.schema import TABLES
from pipelines.tokens.config import PrepareConfig, TableJob

_OUTPUTS = ("table", "report", "keep_stems")

_SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray sets it for a submitted job."""


def place(folder: str) -> str:
    """A folder's absolute path, or its address in a store; empty for none."""
    return folder if not folder or is_remote(folder) else absolute(folder)


def model_place(name: str) -> str:
    """A model's absolute path; the name of a released one as it is."""
    return absolute(name) if Path(name).exists() else name


def check_outputs(config: TableJob) -> None:
    """Refuse output folders that cannot be written, and a table's folder that holds something else.

    Refused as well are folders in a submitted job's working directory, a copy that Ray deletes, and folders in the
    catalog's folder, see :func:`check_apart`.

    Raises:
        StemsError: naming the setting.
    """
    _check_relative(config)
    if isinstance(config, PrepareConfig):
        check_apart(config)
    for field in _OUTPUTS:
        folder = getattr(config, field, "")
        if folder and not is_remote(folder):
            ours = _is_table if field == "table" else _takes_more
            check_folder(local_path(folder), field, ours=ours)


def check_apart(config: PrepareConfig) -> None:
    """Refuse a table, report or kept stems in the catalog's folder: the next run would take stems for songs.

    Raises:
        StemsError: naming the setting.
    """
    source = Source(config.catalog)
    if not source.is_folder:  # a manifest names its files
        return
    for field in _OUTPUTS:
        folder = getattr(config, field)
        if folder and lies_in(folder, config.catalog):
            raise StemsError(
                f"'{folder}' lies in the catalog's folder '{config.catalog}', where the next run would find it.",
                f"Give --{field.replace('_', '-')} a folder outside.",
                field=field,
            )


def check_no_own_stems(entries: Iterable[CatalogEntry], folders: Iterable[str]) -> None:
    """Refuse a catalog with stems that a run on this table kept: they are not songs.

    Args:
        entries: of the catalog.
        folders: of the table's kept stems.

    Raises:
        StemsError: it names the first, and their number.
    """
    kept = {folder.rstrip("/") for folder in folders}
    names = {posixpath.basename(folder) for folder in kept}
    own = [entry.uri for entry in entries if _names_one(entry, names) and _is_kept(entry, kept)]
    if own:
        raise StemsError(
            f"The catalog holds stems that this table keeps ({len(own)} of them), such as '{own[0]}'.",
            "Move that folder out of the catalog's, or name a catalog without it.",
            field="catalog",
        )


def _names_one(entry: CatalogEntry, names: set[str]) -> bool:
    folder, _, name = entry.uri.rpartition("/")
    return name in names or posixpath.basename(folder) in names


def _is_kept(entry: CatalogEntry, kept: set[str]) -> bool:
    places = {leads_to(entry.uri), posixpath.dirname(leads_to(entry.uri))}
    return not places.isdisjoint(kept | {leads_to(folder) for folder in kept})


def _is_table(folder: Path) -> bool:
    return any((folder / name / "_delta_log").is_dir() for name in TABLES)


def _takes_more(folder: Path) -> bool:
    """Reports and stems have unique names, so they can lie beside any other files."""
    return True


def _check_relative(config: TableJob) -> None:
    if _SUBMITTED not in os.environ:
        return
    for field in _OUTPUTS:
        folder = getattr(config, field, "")
        if folder and not is_remote(folder) and not Path(folder).is_absolute():
            raise StemsError(
                f"'{folder}' would lie in the submitted job's copy of the working directory, and go with it.",
                "Give an s3:// address or an absolute path that every machine sees.",
                field=field,
            )
