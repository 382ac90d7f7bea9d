"""`stems table diff`: which songs only one of two tables (or versions of one) has, and how the others differ."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from rich.table import Table

from models.errors import StemsError
from models.stems import StemLayout
from pipelines.table.schema import KEYS, TOKENS, codes_from_arrow
from pipelines.table.token_table import TokenTable
from pipelines.upkeep.config import DiffConfig
from pipelines.upkeep.mapped_rows import mapped_rows

KEY = KEYS["tokens"]
_PLAIN = tuple(name for name in TOKENS.names if name not in (*KEY, "codes"))
_SONGS_AT_A_TIME = 64
_EXAMPLES = 5

Key = tuple[str, ...]


@dataclass
class StreamDiff:
    """How much of a stream differs, over the songs whose codes differ.

    Attributes:
        songs: songs in which the stream differs.
        codes: codes that differ; a code that only one side has counts.
        of: the stream's codes in these songs, on the longer side.
    """

    songs: int = 0
    codes: int = 0
    of: int = 0


@dataclass(frozen=True)
class DiffReport:
    """How two tables differ.

    Args:
        a: one table, as the command line named it.
        b: the other one.
        makers: rows in a and in b, by separator and codecs.
        same: rows that are in both, and equal in every column.
        only_a: keys of rows that only a has.
        only_b: keys of rows that only b has.
        other_codes: keys of rows that are in both, with different codes.
        streams: how the codes of these rows differ, by the stream's name.
        other_columns: how many rows that are in both differ, by column.
    """

    a: str
    b: str
    makers: dict[tuple[str, str], tuple[int, int]]
    same: int
    only_a: list[Key]
    only_b: list[Key]
    other_codes: list[Key]
    streams: dict[str, StreamDiff]
    other_columns: Counter[str]

    def summary(self) -> Table:
        """The difference for a terminal."""
        table = Table("", self.a, self.b, title=f"{self.same} rows are alike")
        for (separator, codecs), (a, b) in sorted(self.makers.items()):
            table.add_row(f"rows by {separator}, {codecs}", str(a), str(b))
        table.add_section()
        table.add_row("only here", _named(self.only_a), _named(self.only_b))
        table.add_row("other codes", _named(self.other_codes))
        for name, diff in self.streams.items():
            table.add_row(f"  {name}", f"{diff.songs} songs", f"{diff.codes / max(diff.of, 1):.2%} of their codes")
        for column, rows in sorted(self.other_columns.items()):
            table.add_row(f"other {column}", f"{rows} rows")
        return table


@dataclass(frozen=True)
class _Side:
    """One of the tables, without its codes: the row of each key, the columns, and a digest of each row's codes."""

    rows: Mapping[Key, int]
    columns: pa.Table
    digests: Mapping[Key, bytes]


def diff(config: DiffConfig) -> DiffReport:
    """Compare the songs of two tables; their codes pass through the memory a few songs at a time.

    Raises:
        StemsError: no such table or version.
    """
    (table_a, version_a), (table_b, version_b) = _open(config.a), _open(config.b)
    a, b = _read(table_a, version_a), _read(table_b, version_b)
    shared = sorted(a.rows.keys() & b.rows.keys())
    other_codes = [key for key in shared if a.digests[key] != b.digests[key]]
    other_columns, changed = _compare_columns(a, b, shared)
    return DiffReport(
        a=config.a,
        b=config.b,
        makers=_makers(a, b),
        same=len(shared) - len(changed.union(other_codes)),
        only_a=sorted(a.rows.keys() - b.rows.keys()),
        only_b=sorted(b.rows.keys() - a.rows.keys()),
        other_codes=other_codes,
        streams=_compare_codes((table_a, version_a), (table_b, version_b), set(other_codes)),
        other_columns=other_columns,
    )


def _open(name: str) -> tuple[TokenTable, int]:
    """A table and a version of its songs, from ``TABLE`` or ``TABLE@VERSION``."""
    root, at, version = name.rpartition("@")
    if not at or not version.isdigit():
        table = TokenTable(name)
        return table, table.version
    return TokenTable(root), int(version)


def _read(table: TokenTable, version: int) -> _Side:
    columns = table.rows(version=version, columns=(*KEY, *_PLAIN))
    keys = _keys(columns)
    rows = {key: row for row, key in enumerate(keys)}
    if len(rows) != len(keys):
        raise StemsError(
            f"'{table.root}' has keys twice.", "Run `stems table verify`.", code="contract", field="table"
        )
    return _Side(rows, columns, dict(_digests(table, version)))


def _digests(table: TokenTable, version: int) -> Iterator[tuple[Key, bytes]]:
    for batch in _batches(table, version):
        for key, codes in zip(_keys(batch), batch["codes"], strict=True):
            song = codes_from_arrow(codes)
            yield key, hashlib.blake2b(song.tobytes(), digest_size=16, salt=str(len(song)).encode()).digest()


def _compare_codes(a: tuple[TokenTable, int], b: tuple[TokenTable, int], keys: set[Key]) -> dict[str, StreamDiff]:
    """Stream by stream, how the codes of some songs differ. a's codes lie in a mapped file while b's pass by."""
    streams: dict[str, StreamDiff] = {}
    if not keys:
        return streams
    schema = pa.schema([TOKENS.field(name) for name in (*KEY, "layout", "codes")])
    with mapped_rows(_only(keys, *a), schema) as aside:
        row_of = {key: row for row, key in enumerate(_keys(aside))}
        for batch in _only(keys, *b):
            for key, layout, codes in zip(_keys(batch), batch["layout"].to_pylist(), batch["codes"], strict=True):
                ours, theirs = codes_from_arrow(aside["codes"][row_of[key]]), codes_from_arrow(codes)
                _add_song(streams, ours, theirs, layout)
    return streams


def _add_song(streams: dict[str, StreamDiff], ours: np.ndarray, theirs: np.ndarray, layout: str) -> None:
    names = StemLayout.parse(layout).stream_names
    for k in range(max(len(ours), len(theirs))):
        one = ours[k] if k < len(ours) else ours[:0].ravel()
        other = theirs[k] if k < len(theirs) else theirs[:0].ravel()
        shorter, longer = sorted((len(one), len(other)))
        differing = int(np.count_nonzero(one[:shorter] != other[:shorter])) + longer - shorter
        stream = streams.setdefault(names[k] if k < len(names) else f"stream {k + 1}", StreamDiff())
        if differing:
            stream.songs += 1
        stream.codes += differing
        stream.of += longer


def _compare_columns(a: _Side, b: _Side, keys: Sequence[Key]) -> tuple[Counter[str], set[Key]]:
    """How many shared rows differ, by column; and which rows."""
    ours = a.columns.take(pa.array([a.rows[key] for key in keys], pa.int64()))
    theirs = b.columns.take(pa.array([b.rows[key] for key in keys], pa.int64()))
    counts: Counter[str] = Counter()
    changed: set[Key] = set()
    for column in _PLAIN:
        if ours[column].equals(theirs[column]):
            continue
        pairs = zip(keys, ours[column].to_pylist(), theirs[column].to_pylist(), strict=True)
        # Compared by their text: two NaN are equal.
        differing = [key for key, one, other in pairs if repr(one) != repr(other)]
        counts[column] += len(differing)
        changed.update(differing)
    return +counts, changed


def _makers(a: _Side, b: _Side) -> dict[tuple[str, str], tuple[int, int]]:
    in_a, in_b = (Counter((separator, codecs) for _, separator, codecs in side.rows) for side in (a, b))
    return {maker: (in_a[maker], in_b[maker]) for maker in in_a.keys() | in_b.keys()}


def _only(keys: set[Key], table: TokenTable, version: int) -> Iterator[pa.RecordBatch]:
    for batch in _batches(table, version):
        yield batch.filter(pa.array([key in keys for key in _keys(batch)], pa.bool_()))


def _batches(table: TokenTable, version: int) -> Iterator[pa.RecordBatch]:
    return table.stream([*KEY, "layout", "codes"], version=version, batch_rows=_SONGS_AT_A_TIME)


def _keys(rows: pa.Table | pa.RecordBatch) -> list[Key]:
    return list(zip(*(rows[column].to_pylist() for column in KEY), strict=True))


def _named(keys: Sequence[Any]) -> str:
    listed = "".join(f"\n{key[0]}" for key in keys[:_EXAMPLES])
    return f"{len(keys)}{listed}{' …' if len(keys) > _EXAMPLES else ''}"
