"""Manifests as records: JSON lines, CSV and Parquet files, whatever their lines mean."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.errors import StemsError
from pipelines.catalog.files import is_remote, local_path, read_bytes
from pipelines.catalog.http import is_http
from pipelines.catalog.problems import Problems
from pipelines.catalog.stores import Store

if TYPE_CHECKING:
    import pyarrow.parquet as pq

MAX_MANIFEST_BYTES = 2**30
"""Larger manifests are refused, unpacked ones too."""


NO_FILE_COLUMN = "lacks a column of file names"


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


def read_text(uri: str, allow_hosts: Collection[str] = ()) -> str:
    """A UTF-8 text file, unpacked where its name ends in ``.gz``.

    Raises:
        StemsError: it cannot be read, is not text, or is too large.
    """
    data = read_manifest_bytes(uri, allow_hosts)
    if uri.lower().endswith(".gz"):
        data = _unpack(data, uri)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StemsError(f"'{uri}' is not UTF-8 text.", "Save it as UTF-8.", field="manifest") from error


def read_manifest_bytes(uri: str, allow_hosts: Collection[str] = ()) -> bytes:
    """A small file's bytes. StemsError where it cannot be read."""
    try:
        return read_bytes(uri, allow_hosts=allow_hosts, max_bytes=MAX_MANIFEST_BYTES)
    except OSError as error:
        raise _cannot_be_read(uri, error) from error


def _cannot_be_read(uri: str, error: OSError) -> StemsError:
    return StemsError(
        f"'{uri}' cannot be read ({error.strerror or 'there is none'}).",
        "Check the path.",
        code="missing",
        field="manifest",
    )


def _unpack(data: bytes, uri: str) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            text = packed.read(MAX_MANIFEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise StemsError(f"'{uri}' is not a whole gzip file.", "Copy it again.", field="manifest") from error
    if len(text) > MAX_MANIFEST_BYTES:
        raise StemsError(
            f"'{uri}' unpacks to more than {MAX_MANIFEST_BYTES / 1e9:.1f} GB.",
            "Split it.",
            code="too_large",
            field="manifest",
        )
    return text


def json_lines(text: str, file: str, problems: Problems) -> Iterator[Record]:
    """An object a line; empty lines are skipped."""
    for line, item in enumerate(text.split("\n"), start=1):
        if not item.strip():
            continue
        try:
            values = json.loads(item)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
            problems.bad_line(f"{file}, line {line}", f"is not JSON ({reason})", "Mend or remove the line.")
            continue
        if isinstance(values, dict):
            yield Record(file, line, values)
        else:
            problems.bad_line(f"{file}, line {line}", "is not an object", 'Write {"…": "…"} on each line.')


def csv_lines(text: str, file: str, needed: Collection[str], problems: Problems) -> Iterator[Record]:
    """A comma-separated file whose header has one of the ``needed`` columns."""
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    line = 1
    try:
        if not set(needed) & set(reader.fieldnames or ()):
            problems.bad_line(f"{file}, line 1", NO_FILE_COLUMN, f"Name one column '{next(iter(needed))}'.")
            return
        line = reader.line_num + 1
        for values in reader:
            if "" in values:
                problems.bad_line(
                    f"{file}, line {line}", "has more fields than the header", "Quote fields that hold a comma."
                )
            else:
                yield Record(file, line, values)
            line = reader.line_num + 1
    except csv.Error as error:  # what follows cannot be told apart
        problems.bad_line(f"{file}, line {line}", f"is not CSV ({error})", "Mend or remove the line.")


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
        raise _cannot_be_read(uri, error) from error


def parquet_rows(parquet: pq.ParquetFile, file: str, columns: Iterable[str]) -> Iterator[Record]:
    """The rows of those columns that there are; ``a.b`` is a field of a struct, and comes as ``{"a": {"b": …}}``."""
    line = 0
    for batch in parquet.iter_batches(columns=list(columns)):
        for values in batch.to_pylist():
            line += 1
            yield Record(file, line, values)
