"""`stems table export webdataset`: songs as tar shards, the same bytes each time.

An export is complete when its ``index.json`` is there. On a disk it is written beside its place and renamed when it
is whole. In an object store, which cannot rename, the index is written last, and deleted first when an export is
replaced; until then a mark shows that the shards belong to an unfinished export.
"""

from __future__ import annotations

import io
import json
import math
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from models.errors import StemsError
from models.files.output_folder import check_folder, replacing
from models.files.output_listing import LIST, entries
from models.files.partial import is_hidden
from pipelines.catalog.storage.files import (
    exists,
    is_remote,
    list_folder,
    local_path,
    read_bytes,
    remove_tree,
    write_bytes,
)
from pipelines.table.schema import SCHEMA_VERSION, TOKENS, codes_from_arrow
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import ExportConfig
from pipelines.upkeep.mapped_rows import mapped_rows

_FORMAT = 1
_INDEX = "index.json"
_SONGS_AT_A_TIME = 64
_SHARD = re.compile(r"(train|valid|sung)-\d{6}\.tar")
_SET = ("layout", "separator", "codecs")


@dataclass(frozen=True)
class ExportReport:
    """What an export holds.

    Args:
        output: its folder.
        index: the contents of its ``index.json``.
        there: whether it was complete already, so that nothing was written.
    """

    output: str
    index: dict[str, Any]
    there: bool

    def summary(self) -> Table:
        """The report for a terminal."""
        state = "was there" if self.there else "written"
        table = Table("split", "songs", "hours", "shards", title=f"{self.output}: {state}")
        for split, part in self.index["splits"].items():
            table.add_row(split, str(part["songs"]), f"{part['hours']:.2f}", str(len(part["shards"])))
        return table


def export_webdataset(config: ExportConfig) -> ExportReport:
    """Write songs of one separator and one set of codecs as ``<split>-<number>.tar``, sorted by id.

    A song is ``<song_id>.codes.npy``, int16 ``[streams, frames]``, and ``<song_id>.json``, its other columns (numbers
    that JSON cannot hold are null). A complete export of the same songs stays as it is.

    Raises:
        StemsError: no table or version, no such songs, several sets of them, or another export in the folder.
    """
    if is_remote(config.output):
        _check_remote(config.output)
    else:
        check_folder(config.output and local_path(config.output), ours=_is_export)
    table = TokenTable(config.table)
    version = table.version if config.version is None else config.version
    chosen = _choose(table, version, config)
    output = config.output.rstrip("/")
    about = {
        "format": _FORMAT,
        "schema_version": SCHEMA_VERSION,
        "table": table.root,
        "version": version,
        **chosen,
        "columns": [name for name in TOKENS.names if name != "codes"],
        "shard_mb": config.shard_mb,
    }
    before = _index(output)
    if before is not None and _same(before, about, config.splits):
        return ExportReport(output, before, there=True)
    if before is not None and not config.overwrite:
        raise StemsError(
            f"'{output}' holds an export of version {before.get('version')} of '{before.get('table')}'.",
            "Name another folder, or give --overwrite.",
            code="exists",
            field="output",
        )

    def write(place: str) -> dict[str, Any]:
        splits: dict[str, Any] = {
            split: _write_split(table, version, chosen, split, place, config.shard_mb) for split in config.splits
        }
        index = {**about, "splits": splits}
        if is_remote(place):
            _remove_others(place, splits)
        write_bytes(f"{place}/{_INDEX}", _json(index))
        return index

    if is_remote(output):
        write_bytes(f"{output}/{LIST}", b"{}")
        remove_tree(f"{output}/{_INDEX}")
        index = write(output)
        remove_tree(f"{output}/{LIST}")
    else:
        with replacing(local_path(output), listed=False, ours=_is_export) as partial:
            index = write(str(partial))
    return ExportReport(output, index, there=False)


def _is_export(folder: Path) -> bool:
    names = [name for name in entries(folder) if not is_hidden(name.split("/")[0])]
    return _are_ours(names, _index(str(folder)))


def _check_remote(output: str) -> None:
    if not exists(output):
        return
    names = [name for name in (file.name for file in list_folder(output)) if name]
    unfinished = exists(f"{output.rstrip('/')}/{LIST}")
    if not _are_ours([name for name in names if name != LIST], _index(output.rstrip("/")), unfinished=unfinished):
        raise StemsError(f"'{output}' holds files that are not of an export.", "Name another folder.", field="output")


def _are_ours(names: Sequence[str], index: Mapping[str, Any] | None, *, unfinished: bool = False) -> bool:
    """Whether an index names all these files, or an export that was not finished may have written them."""
    splits = index.get("splits") if index else None
    parts = [part for part in splits.values() if isinstance(part, dict)] if isinstance(splits, dict) else []
    known = {_INDEX, *(shard["name"] for part in parts for shard in part.get("shards", ()))} if parts else set()
    return all(name in known or (unfinished and _SHARD.fullmatch(name)) for name in names)


def _choose(table: TokenTable, version: int, config: ExportConfig) -> dict[str, str]:
    """The layout, separator and codecs of the songs to export: there must be one set of them."""
    kinds = table.rows(version=version, columns=_SET).group_by(list(_SET)).aggregate([]).to_pylist()
    wanted = [
        kind
        for kind in kinds
        if config.separator_id in ("", kind["separator"]) and config.codecs_id in ("", kind["codecs"])
    ]
    if len(wanted) == 1:
        return {name: wanted[0][name] for name in _SET}
    listed = "".join(f"\n  --separator-id {kind['separator']} --codecs-id {kind['codecs']}" for kind in kinds)
    raise StemsError(
        f"The token table '{table.root}' has songs of {len(wanted)} such sets of separator and codecs.",
        f"Choose one of:{listed}" if kinds else "Run `stems prepare` first.",
        code="ambiguous" if wanted else "empty",
        field="codecs_id",
    )


def _index(output: str) -> dict[str, Any] | None:
    """The index of an earlier export; None where there is none, or where it was not finished."""
    uri = f"{output}/{_INDEX}"
    if not exists(uri):
        return None
    try:
        found = json.loads(read_bytes(uri))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _same(before: Mapping[str, Any], about: Mapping[str, Any], splits: Sequence[str]) -> bool:
    """Whether an export holds these songs, in shards of this size."""
    return all(before.get(name) == value for name, value in about.items()) and list(before.get("splits", ())) == list(
        splits
    )


def _write_split(
    table: TokenTable, version: int, chosen: Mapping[str, str], split: str, output: str, shard_mb: int
) -> dict[str, Any]:
    """Write the shards of a split; return what the index says of it."""
    wanted = {"split": [split], **{name: [value] for name, value in chosen.items()}}
    batches = table.stream(TOKENS.names, wanted, version, _SONGS_AT_A_TIME)
    with mapped_rows(batches, TOKENS) as songs:
        shards = []
        for number, (count, data) in enumerate(_shards(songs, shard_mb * 2**20)):
            name = f"{split}-{number:06}.tar"
            write_bytes(f"{output}/{name}", data)
            shards.append({"name": name, "songs": count, "bytes": len(data)})
        hours = (pc.sum(songs["seconds"]).as_py() or 0.0) / 3600
        return {"songs": len(songs), "hours": round(hours, 6), "shards": shards}


def _shards(songs: pa.Table, full: int) -> Iterator[tuple[int, bytes]]:
    """Songs by id, as tar files of about ``full`` bytes: how many songs, and the bytes."""
    order = pc.sort_indices(songs, [("song_id", "ascending")]).to_numpy()
    buffer, count = io.BytesIO(), 0
    tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed when full
    for place, row in enumerate(order):
        _add_song(tar, songs.slice(row, 1))
        count += 1
        if buffer.tell() >= full or place == len(order) - 1:
            tar.close()
            yield count, buffer.getvalue()
            buffer, count = io.BytesIO(), 0
            tar = tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115


def _add_song(tar: tarfile.TarFile, song: pa.Table) -> None:
    codes = io.BytesIO()
    np.save(codes, codes_from_arrow(song["codes"][0]))
    (columns,) = song.drop_columns(["codes"]).to_pylist()
    for ending, data in (("codes.npy", codes.getvalue()), ("json", _json(columns))):
        # No owner and no time in the header: the same songs give the same bytes.
        header = tarfile.TarInfo(f"{columns['song_id']}.{ending}")
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))


def _remove_others(output: str, splits: Mapping[str, Any]) -> None:
    """Delete shards of an earlier export that this one has not replaced."""
    names = {shard["name"] for part in splits.values() for shard in part["shards"]}
    for file in list_folder(output) if exists(output) else []:
        if _SHARD.fullmatch(file.name) and file.name not in names:
            remove_tree(f"{output}/{file.name}")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, indent=1).encode()


def _finite(value: Any) -> Any:
    """The same value with None for infinite numbers and NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list) else value
