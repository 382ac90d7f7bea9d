"""Manifests with a line for each file: JSONL, CSV or Parquet; also those of Hugging Face's audio folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from models.errors import StemsError
from pipelines.catalog.manifests.captions import LineError, words_of
from pipelines.catalog.manifests.columns import FILE_COLUMNS, Columns, manifest_columns
from pipelines.catalog.manifests.entries import Named, entries_of, resolve
from pipelines.catalog.manifests.finding import Finder
from pipelines.catalog.manifests.names import normal_name
from pipelines.catalog.manifests.records import (
    NO_FILE_COLUMN,
    Record,
    csv_lines,
    json_lines,
    open_parquet,
    parquet_rows,
)
from pipelines.catalog.problems import Problems
from pipelines.catalog.schema import CatalogEntry
from pipelines.catalog.source import Source, has_suffix
from pipelines.catalog.storage.addresses import MISSING
from pipelines.catalog.storage.files import describe

_EXPORT = (
    "python -c \"import pathlib, pyarrow.parquet as pq; [pathlib.Path(pathlib.Path(a['path']).name)"
    ".write_bytes(a['bytes']) for b in pq.ParquetFile('{name}').iter_batches(64, columns=['audio'])"
    " for a in b['audio'].to_pylist()]\""
)


def songs(source: Source) -> list[CatalogEntry]:
    """The files that the source's manifest names, in its order."""
    return entries_of(read(records_of(source), source.problems), source)


def read(records: Iterable[Record], problems: Problems) -> Iterator[Named]:
    """``file_name`` or ``path`` (needed, each once), ``caption``, ``text`` or ``description``, ``tags`` (a list, or
    text split at commas and semicolons), ``title``, ``duration`` or ``seconds``. Other columns are noted.
    """
    columns = manifest_columns()
    first_line: dict[str, int] = {}
    for record in records:
        values = columns.read(record.values, record.place)
        value = next((values[column] for column in FILE_COLUMNS if values.get(column)), None)
        if not isinstance(value, str):
            problems.bad_line(record.place, "names no file", _name_the_file(record, columns))
            continue
        name = normal_name(value)
        if name in first_line:
            problems.bad_line(
                record.place, f"names '{value}', as line {first_line[name]} does", "Keep one line for each file."
            )
            continue
        first_line[name] = record.line
        try:
            yield Named(value, words_of(values), record.place)
        except LineError as error:
            problems.bad_line(record.place, error.what, error.hint)
    columns.note_unread(problems)


def _name_the_file(record: Record, columns: Columns) -> str:
    """What to do about a line without a file's name."""
    meant = next((name for name in record.values if columns.nearest(name) in FILE_COLUMNS), "")
    if meant and not columns.known(meant):
        return f"Rename '{meant}' to '{FILE_COLUMNS[0]}'."
    return f"Give each line one of {', '.join(FILE_COLUMNS)}."


def records_of(source: Source) -> Iterator[Record]:
    """The lines of the source's manifest, by what its suffix says it is."""
    manifest = source.manifest
    if has_suffix(manifest, (".jsonl", ".json")):
        yield from json_lines(source.text, manifest, source.problems)
    elif has_suffix(manifest, (".csv", ".tsv")):
        yield from csv_lines(source.text, manifest, FILE_COLUMNS, source.problems)
    elif has_suffix(manifest, (".parquet",)):
        with open_parquet(manifest, source.allow_hosts) as parquet:
            yield from _parquet_records(parquet, source)
    else:
        raise StemsError(
            f"'{manifest}' is not a manifest.", "Give a .jsonl, .csv, .tsv or .parquet file.", field="manifest"
        )


def _parquet_records(parquet: Any, source: Source) -> Iterator[Record]:
    columns, names = manifest_columns(), parquet.schema_arrow.names
    read = [name for name in names if columns.known(name)]
    files = [name for name in read if columns.known(name) in FILE_COLUMNS]
    if not files and "audio" not in names:
        source.problems.bad_line(f"{source.manifest}, line 1", NO_FILE_COLUMN, f"Name one '{FILE_COLUMNS[0]}'.")
        return
    for name in names:
        if name not in read and name != "audio":
            columns.pass_over(name, True, f"{source.manifest}, line 1")
    columns.note_unread(source.problems)
    yield from (parquet_rows(parquet, source.manifest, read) if files else _datasets_rows(parquet, source, read))


def _datasets_rows(parquet: Any, source: Source, words: list[str]) -> Iterator[Record]:
    """Rows of `datasets`' form, ``audio: {bytes, path}``: by path, where there are files of those names."""
    import pyarrow as pa

    kind = parquet.schema_arrow.field("audio").type
    if not (pa.types.is_struct(kind) and kind.get_field_index("path") >= 0):
        raise _embedded(source)
    for record in parquet_rows(parquet, source.manifest, ["audio.path", *words]):
        values = dict(record.values)
        audio = values.pop("audio", None)
        name = audio.get("path") if isinstance(audio, dict) else None
        if record.line == 1 and not (isinstance(name, str) and _is_there(name, source)):
            raise _embedded(source)
        yield Record(record.file, record.line, {**values, "file_name": name})


def _is_there(name: str, source: Source) -> bool:
    try:
        there = describe(resolve(name, source), source.allow_hosts).stamp != MISSING
    except LineError:
        return False
    return there or Finder(source).find(name) is not None


def _embedded(source: Source) -> StemsError:
    name = source.manifest.rsplit("/", 1)[-1]
    return StemsError(
        f"'{source.manifest}' holds its audio inside, in the column 'audio'.",
        f"Write it to files first, in the folder of that file: {_EXPORT.format(name=name)}",
        code="embedded",
        field="catalog",
    )
