"""A catalog that `stems catalog` wrote: a Parquet file of entries."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

from models.errors import StemsError
from models.files.output_folder import check_file
from models.files.storage import storage_errors
from pipelines.catalog.manifests.captions import one_line
from pipelines.catalog.manifests.records import open_parquet
from pipelines.catalog.schema import CatalogEntry, GivenStem
from pipelines.catalog.source import Source
from pipelines.catalog.storage.files import exists, is_remote, local_path, write_bytes
from pipelines.catalog.storage.http import check_host, is_http

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("uri", "fingerprint", "title", "caption", "tags", "size", "seconds", "stems")


def songs(source: Source) -> list[CatalogEntry]:
    """The entries, in their order. A catalog from elsewhere may not name files of this machine.

    Raises:
        StemsError: it is not such a catalog, or names files that may not be read.
    """
    with open_parquet(source.manifest, source.allow_hosts) as parquet:
        if not set(COLUMNS) <= set(parquet.schema_arrow.names):
            raise StemsError(
                f"'{source.manifest}' is not a catalog: it lacks columns of {', '.join(COLUMNS)}.",
                "Write one with `stems catalog`.",
                field="catalog",
            )
        entries = from_table(parquet.read(columns=list(COLUMNS)))
    for uri in _uris(entries):
        if is_http(uri):
            check_host(uri, source.allow_hosts)
    if is_remote(source.manifest):
        check_remote(entries, source.manifest)
    return entries


def write_catalog_file(uri: str, entries: Sequence[CatalogEntry]) -> None:
    """Write the catalog, completely or not at all."""
    import pyarrow.parquet as pq

    if is_remote(uri):
        check_remote(entries, uri)
    buffer = io.BytesIO()
    pq.write_table(to_table(entries), buffer, compression="zstd")
    data = buffer.getvalue()
    with nullcontext() if is_remote(uri) else storage_errors(local_path(uri), len(data)):
        write_bytes(uri, data)


def check_catalog_file(uri: str) -> None:
    """Refuse, before the work, an output that is another file, or that cannot be written.

    Raises:
        StemsError: naming it.
    """
    if not is_remote(uri):
        check_file(local_path(uri), "output", lambda file: _is_catalog(str(file)))
    elif exists(uri) and not _is_catalog(uri):
        raise StemsError(f"'{uri}' exists and is not a catalog.", "Name another file.", field="output")


def _is_catalog(uri: str) -> bool:
    try:
        with open_parquet(uri, ()) as parquet:
            return tuple(parquet.schema_arrow.names) == COLUMNS
    except (StemsError, OSError, ValueError):
        return False


def to_table(entries: Sequence[CatalogEntry]) -> pa.Table:
    """Entries as rows."""
    import pyarrow as pa

    stem = pa.struct([("name", pa.string()), ("uris", pa.list_(pa.string()))])
    kinds = {"tags": pa.list_(pa.string()), "size": pa.int64(), "seconds": pa.float64(), "stems": pa.list_(stem)}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
    return pa.Table.from_pylist([asdict(entry) for entry in entries], schema=schema)


def from_table(table: pa.Table) -> list[CatalogEntry]:
    """The inverse of :func:`to_table`."""
    return [
        CatalogEntry(
            **{
                **row,
                "title": one_line(row["title"]),
                "caption": one_line(row["caption"]),
                "tags": tuple(filter(None, map(one_line, row["tags"]))),
                "stems": tuple(GivenStem(stem["name"], tuple(stem["uris"])) for stem in row["stems"]),
            }
        )
        for row in table.to_pylist()
    ]


def check_remote(entries: Sequence[CatalogEntry], uri: str) -> None:
    """StemsError if a remote catalog names files of this machine."""
    local = next((named for named in _uris(entries) if not is_remote(named)), "")
    if local:
        raise StemsError(
            f"The remote catalog '{uri}' names '{local}', a file of this machine.",
            "Keep such a catalog on this machine, or copy the files there.",
            field="output",
        )


def _uris(entries: Iterable[CatalogEntry]) -> Iterator[str]:
    for entry in entries:
        yield entry.uri
        for stem in entry.stems:
            yield from stem.uris
