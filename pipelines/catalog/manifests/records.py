"""Manifests as records: JSON lines, CSV and Parquet files, whatever their lines mean."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import StemsError
from pipelines.catalog.manifests.captions import why_no_json
from pipelines.catalog.manifests.columns import column_key, manifest_columns
from pipelines.catalog.problems import Problems
from pipelines.catalog.storage.files import is_remote, local_path
from pipelines.catalog.storage.http import is_http
from pipelines.catalog.storage.stores import Store
from pipelines.catalog.storage.text import cannot_be_read, read_manifest_bytes

if TYPE_CHECKING:
    import pyarrow.parquet as pq

NO_FILE_COLUMN = "lacks a column of file names"

_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, slots=True)
class Record:
    """A line of a manifest: the file and the line (of a Parquet file, the row), both from 1, and its values."""

    file: str
    line: int
    values: Mapping[str, object]

    @property
    def place(self) -> str:
        """Where it stands, for people."""
        return f"{self.file}, line {self.line}"


def json_lines(text: str, file: str, problems: Problems) -> Iterator[Record]:
    """An object a line; empty lines are skipped."""
    for line, item in enumerate(text.split("\n"), start=1):
        if not item.strip():
            continue
        try:
            values = json.loads(item)
        except (ValueError, RecursionError) as error:
            reason = why_no_json(error)
            problems.bad_line(f"{file}, line {line}", f"is not JSON ({reason})", "Correct or remove the line.")
            continue
        if isinstance(values, dict):
            yield Record(file, line, values)
        else:
            problems.bad_line(f"{file}, line {line}", "is not an object", 'Write {"…": "…"} on each line.')


def csv_lines(text: str, file: str, needed: Collection[str], problems: Problems) -> Iterator[Record]:
    """A table as text whose header has one of the ``needed`` columns: separated by commas, semicolons, tabs or bars.

    Rows of which every field is empty are skipped, as spreadsheets leave them.
    """
    header, skipped = _header(text)
    separator = _separator(header, needed)
    if separator is None:
        tried = "commas, semicolons, tabs and bars were tried as separators"
        problems.bad_line(f"{file}, line {1 + skipped}", f"{NO_FILE_COLUMN} ({tried})", _name_one(header, needed))
        return
    lines = io.StringIO(text, newline="")
    for _ in range(skipped):
        lines.readline()
    reader = csv.DictReader(lines, strict=True, delimiter=separator, skipinitialspace=True)
    line = 1 + skipped
    try:
        if twice := _twice(reader.fieldnames or ()):
            problems.bad_line(f"{file}, line {line}", f"names the column '{twice}' twice", "Rename or remove one.")
            return
        line = reader.line_num + 1 + skipped
        for values in reader:
            if any(field.strip() for field in values.pop(None, ())):
                problems.bad_line(
                    f"{file}, line {line}",
                    "has more fields than the header",
                    f"Quote fields that hold '{separator}'.",
                )
            elif any(value and value.strip() for value in values.values()):
                yield Record(file, line, values)
            line = reader.line_num + 1 + skipped
    except csv.Error as error:  # what follows cannot be told apart
        problems.bad_line(f"{file}, line {line}", f"is not CSV ({error})", "Correct or remove the line.")


def _header(text: str) -> tuple[str, int]:
    """The first line that holds anything but a spreadsheet's note of its separator, and how many are before it."""
    lines = io.StringIO(text, newline="")
    for skipped, line in enumerate(lines):
        if line.strip() and not line.lower().startswith("sep="):
            return line, skipped
    return "", 0


def _separator(header: str, needed: Collection[str]) -> str | None:
    """The separator that makes one of the ``needed`` columns of a header; None where none does."""
    wanted = set(map(column_key, needed))
    for separator in _SEPARATORS:
        try:
            names: Sequence[str] = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:
            continue
        if wanted & set(map(column_key, names)):
            return separator
    return None


def _name_one(header: str, needed: Collection[str]) -> str:
    """What to do about a header without a column of files: to rename the one that comes nearest, if any does."""
    columns = manifest_columns()
    names = [name.strip(" \"'\r\n") for name in re.split("[,;\t|]", header)]
    near = next((name for name in names if columns.nearest(name) in needed), "")
    return f"Rename '{near}' to '{next(iter(needed))}'." if near else f"Name one column '{next(iter(needed))}'."


def _twice(names: Iterable[str]) -> str:
    """A column that is read and that a header has twice, spelled alike; empty without one."""
    known = manifest_columns().known
    return next((name for name, count in Counter(names).items() if count > 1 and known(name)), "")


@contextmanager
def open_parquet(uri: str, allow_hosts: Collection[str] = ()) -> Iterator[pq.ParquetFile]:
    """A Parquet file to read columns from, without loading the others.

    Raises:
        StemsError: it cannot be read, or is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if is_http(uri):
            yield pq.ParquetFile(pa.BufferReader(read_manifest_bytes(uri, allow_hosts)))
        elif is_remote(uri):
            with Store(uri).open() as file:
                yield pq.ParquetFile(file)
        else:
            with pq.ParquetFile(local_path(uri)) as parquet:
                yield parquet
    except pa.ArrowInvalid as error:
        raise StemsError(
            f"{uri}, line 1: the line is not Parquet ({error}).",
            "Write the file again.",
            code="bad_line",
            field="manifest",
        ) from error
    except OSError as error:
        raise cannot_be_read(uri, error) from error


def parquet_rows(parquet: pq.ParquetFile, file: str, columns: Iterable[str]) -> Iterator[Record]:
    """The rows of those columns that there are; ``a.b`` is a field of a struct, and comes as ``{"a": {"b": …}}``."""
    line = 0
    for batch in parquet.iter_batches(columns=list(columns)):
        for values in batch.to_pylist():
            line += 1
            yield Record(file, line, values)
