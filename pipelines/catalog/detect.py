"""Detect the format of a catalog by its layout, or by the first line of its manifest."""

from __future__ import annotations

import json

from pipelines.catalog.config import Format
from pipelines.catalog.formats import audiocraft, catalog, jamendo, lhotse, moisesdb, multitrack, musdb, slakh
from pipelines.catalog.manifests.columns import FILE_COLUMNS, column_key
from pipelines.catalog.manifests.records import open_parquet
from pipelines.catalog.source import Source, has_suffix


def detect(source: Source) -> Format:
    """The format of a source; by default a folder of audio or a plain manifest."""
    if source.is_folder and not source.given_manifest:
        return _of_folder(source)
    found = _of_manifest(source)
    # A plain manifest beside a folder only adds to the folder.
    return _of_folder(source) if source.is_folder and found == "manifest" else found


def _of_folder(source: Source) -> Format:
    names = {file.name for file in source.files}
    if names & set(audiocraft.MANIFEST_NAMES):
        return "audiocraft"
    if any("/" not in name and lhotse.is_lhotse(name) for name in names):
        return "lhotse"
    if musdb.is_musdb(source.files):
        return "musdb"
    if slakh.is_slakh(source.files):
        return "slakh"
    if moisesdb.is_moisesdb(source.files):
        return "moisesdb"
    return "multitrack" if multitrack.is_multitrack(source.files) else "folder"


def _of_manifest(source: Source) -> Format:
    if has_suffix(source.manifest, (".tsv",)):
        return "manifest" if _names_files(source.text) else "jamendo"
    if has_suffix(source.manifest, (".parquet",)):
        with open_parquet(source.manifest, source.allow_hosts) as parquet:
            return "catalog" if set(catalog.COLUMNS) <= set(parquet.schema_arrow.names) else "manifest"
    if has_suffix(source.manifest, (".jsonl", ".json")):
        return _of_keys(_first_keys(source.text))
    return "manifest"


def _of_keys(keys: set[str]) -> Format:
    if "audio_filepath" in keys:
        return "nemo"
    if "sources" in keys or "recording" in keys or "tracks" in keys:
        return "lhotse"
    if "path" in keys and keys & {"sample_rate", "info_path", "amplitude"}:
        return "audiocraft"
    return "manifest"


def _names_files(text: str) -> bool:
    """Whether a header has a file column of plain manifests, and is not MTG-Jamendo's."""
    header = text.partition("\n")[0].split("\t")
    named = set(map(column_key, header)) & set(map(column_key, FILE_COLUMNS))
    return bool(named) and not set(header) & set(jamendo.HEADER)


def _first_keys(text: str) -> set[str]:
    """The keys of the first object; empty if it is not JSON, which its reader will report."""
    first = text.lstrip().partition("\n")[0]
    try:
        values = json.loads(first)
    except (ValueError, RecursionError):
        return set()
    return set(values) if isinstance(values, dict) else set()
