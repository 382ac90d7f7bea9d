"""What is said about songs: sidecar files next to the audio, and manifests (JSONL, CSV, Parquet)."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from models.errors import StemsError
from pipelines.catalog.files import read_bytes

FILE_COLUMNS = ("file_name", "path")
CAPTION_COLUMNS = ("caption", "text")
MANIFEST_SUFFIXES = (".jsonl", ".csv", ".parquet")
MANIFEST_NAMES = tuple(f"metadata{suffix}" for suffix in MANIFEST_SUFFIXES)


@dataclass(frozen=True)
class Words:
    """Title, caption and tags of one song; each may be empty."""

    title: str = ""
    caption: str = ""
    tags: tuple[str, ...] = ()

    def over(self, other: Words) -> Words:
        """These words, and where one is empty, the other's."""
        return Words(self.title or other.title, self.caption or other.caption, self.tags or other.tags)


def read_sidecar(uri: str) -> Words:
    """Words from ``<name>.json`` (``{"caption", "tags", "title"}``) or ``<name>.txt`` (the caption).

    Raises:
        StemsError: naming the file, when it is not UTF-8 text or not a JSON object.
    """
    text = _text(uri)
    if not uri.lower().endswith(".json"):
        return Words(caption=" ".join(text.split()))
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise _bad(uri, error.lineno, f"is not JSON ({error.msg})", "Mend the file or remove it.") from error
    if not isinstance(data, dict):
        raise _bad(uri, 1, "is not an object", 'Write {"caption": "…", "tags": ["…"], "title": "…"}.')
    return _words(data, uri, 1)


def read_manifest(uri: str) -> dict[str, Words]:
    """Words by file name, as the manifest spells it, in the manifest's order.

    Columns or keys: ``file_name`` or ``path`` (required), ``caption`` or ``text``, ``tags`` (a list, or text
    split at commas and semicolons), ``title``. Others are ignored.

    Raises:
        StemsError: naming the manifest and the line (of a Parquet file, the row, from 1).
    """
    words: dict[str, Words] = {}
    first_line: dict[str, int] = {}
    for line, record in _records(uri):
        value = next((record[column] for column in FILE_COLUMNS if record.get(column)), None)
        if not isinstance(value, str):
            raise _bad(uri, line, "names no file", f"Give each line a '{FILE_COLUMNS[0]}' or '{FILE_COLUMNS[1]}'.")
        name = normal_name(value)
        if name in first_line:
            raise _bad(uri, line, f"names '{value}', as line {first_line[name]} does", "Keep one line for each file.")
        words[value], first_line[name] = _words(record, uri, line), line
    return words


def normal_name(name: str) -> str:
    """One spelling of a file name: NFC (file systems differ on accents), ``/``, no ``./`` in front."""
    name = unicodedata.normalize("NFC", name.strip())
    return name if "://" in name else str(PurePosixPath(name.replace("\\", "/")))


def _records(uri: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    suffix = PurePosixPath(uri).suffix.lower()
    if suffix == ".jsonl":
        yield from _json_lines(uri)
    elif suffix == ".csv":
        yield from _csv_lines(uri)
    elif suffix == ".parquet":
        yield from _parquet_rows(uri)
    else:
        raise StemsError(
            f"'{uri}' is not a manifest.", f"Give a {', '.join(MANIFEST_SUFFIXES)} file.", field="manifest"
        )


def _json_lines(uri: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for line, text in enumerate(_text(uri).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise _bad(uri, line, f"is not JSON ({error.msg})", "Mend or remove the line.") from error
        if not isinstance(record, dict):
            raise _bad(uri, line, "is not an object", 'Write {"file_name": "…", "caption": "…"} on each line.')
        yield line, record


def _csv_lines(uri: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(_text(uri), newline=""), restkey="", strict=True)
    line = 1
    try:
        if not set(FILE_COLUMNS) & set(reader.fieldnames or ()):
            raise _bad(uri, line, "lacks a column of file names", f"Name one column '{FILE_COLUMNS[0]}'.")
        line = reader.line_num + 1
        for record in reader:
            if "" in record:
                raise _bad(uri, line, "has more fields than the header", "Quote fields that hold a comma.")
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise _bad(uri, line, f"is not CSV ({error})", "Mend or remove the line.") from error


def _parquet_rows(uri: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(_data(uri)))
    except pa.ArrowInvalid as error:
        raise _bad(uri, 1, f"is not Parquet ({error})", "Write the file again.") from error
    wanted = [c for c in (*FILE_COLUMNS, *CAPTION_COLUMNS, "tags", "title") if c in table.column_names]
    yield from enumerate(table.select(wanted).to_pylist(), start=1)


def _words(record: Mapping[str, object], uri: str, line: int) -> Words:
    title = _string(record, ("title",), uri, line)
    caption = _string(record, CAPTION_COLUMNS, uri, line)
    return Words(title, caption, _tags(record.get("tags"), uri, line))


def _string(record: Mapping[str, object], columns: tuple[str, ...], uri: str, line: int) -> str:
    column = next((c for c in columns if record.get(c) is not None), columns[0])
    value = record.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _bad(uri, line, f"has a '{column}' that is not text", "Write it in quotes.")
    return " ".join(value.split())


def _tags(value: object, uri: str, line: int) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = value.replace(";", ",").split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise _bad(uri, line, "has 'tags' that are not a list of text", 'Write ["calm", "piano"] or "calm, piano".')
    return tuple(tag for tag in (" ".join(part.split()) for part in parts) if tag)


def _text(uri: str) -> str:
    try:
        return _data(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StemsError(f"'{uri}' is not UTF-8 text.", "Save it as UTF-8.", field="manifest") from error


def _data(uri: str) -> bytes:
    try:
        return read_bytes(uri)
    except OSError as error:
        raise StemsError(
            f"'{uri}' cannot be read ({error.strerror or error}).",
            "Check the path.",
            code="missing",
            field="manifest",
        ) from error


def _bad(uri: str, line: int, what: str, mend: str) -> StemsError:
    return StemsError(f"{uri}, line {line}: the line {what}.", mend, code="bad_line", field="manifest")
