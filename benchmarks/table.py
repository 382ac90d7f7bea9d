"""What the token table costs as it grows: commits, one more commit, key scans, opening, reading all codes.

Synthetic songs of ``pipelines.table.schema.TOKENS``; each size is a table of its own in a temporary folder. What a
new job pays (opening, scanning keys, one more commit) is taken in a fresh process each, once the page cache is warm.
"×" beside a time says how many times longer it takes than at the size before; linear growth is ×10 for ten times the
songs. Run ``python -m benchmarks.table`` on an idle machine; results belong in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.turns import seconds
from pipelines.table.keyed_table import KeyedTable
from pipelines.table.schema import SCHEMA_VERSION, TOKENS, codes_to_arrow

KEY = ("song_id", "separator", "codecs")
SCANNED = ["fingerprint", *KEY]
STREAMS, CARDINALITY = 6, 2048


def opened(uri: str) -> KeyedTable:
    """The table of songs at an address."""
    return KeyedTable(uri, TOKENS, KEY, SCHEMA_VERSION)


def songs(first: int, count: int, frames: int) -> pa.Table:
    """Songs numbered from ``first``; their codes are uniform, which is the most that codes can take."""
    rng = np.random.default_rng(first)
    numbers = np.arange(first, first + count)
    hashes = [rng.bytes(16).hex() for _ in numbers]
    codes = rng.integers(0, CARDINALITY, (count, STREAMS, frames), dtype=np.int16)
    known = {
        "song_id": hashes,
        "fingerprint": [text[::-1] for text in hashes],
        "uri": [f"s3://music/library/{number:08}.flac" for number in numbers],
        "separator": ["htdemucs-955717e8"] * count,
        "codecs": ["bass=1f00aa,drums=e0c1d2,other=77ab10"] * count,
        "codes": codes_to_arrow(list(codes)),
    }
    columns = [pa.array(known[f.name], f.type) if f.name in known else _filler(f.type, count) for f in TOKENS]
    return pa.Table.from_arrays(columns, schema=TOKENS)


def fill(uri: str, count: int, per_commit: int, frames: int) -> list[float]:
    """Commit so many songs by one writer; seconds of each commit."""
    table = opened(uri)
    table.create()
    took = []
    for first in range(0, count, per_commit):
        rows = songs(first, min(per_commit, count - first), frames)
        took.append(seconds(lambda rows=rows: table.insert(rows)))  # type: ignore[misc]
    return took


def in_new_process(work: Callable[..., float], *arguments: Any) -> float:
    """Seconds that a job measured in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def opening(uri: str) -> float:
    """Seconds to know the version."""
    return seconds(lambda: opened(uri).version)


def scanning(uri: str) -> float:
    """Seconds to read what an unchanged run compares with its catalog."""
    return seconds(lambda: opened(uri).read(SCANNED))


def one_more(uri: str, first: int, count: int, frames: int) -> float:
    """Seconds of a commit by a writer that knows nothing yet."""
    rows = songs(first, count, frames)
    return seconds(lambda: opened(uri).insert(rows))


def looking_up(uri: str, song_id: str) -> float:
    """Seconds to read one song."""
    import pyarrow.dataset as ds

    return seconds(lambda: opened(uri).read(filter=ds.field("song_id") == song_id))


def streaming(uri: str) -> float:
    """Seconds to read all codes, a few songs at a time."""
    return seconds(lambda: sum(len(batch) for batch in opened(uri).stream(["codes"], None, None, 64)))


def measure(count: int, per_commit: int, frames: int, folder: str) -> dict[str, float]:
    """All times at one size, in seconds."""
    uri = f"{folder}/{count}"
    commits = fill(uri, count, per_commit, frames)
    tenth = max(1, len(commits) // 10)
    some_song = songs(0, 1, frames)["song_id"][0].as_py()
    in_new_process(scanning, uri)
    times = {
        "all commits": sum(commits),
        "a commit, median": statistics.median(commits),
        "a commit, of the last tenth": statistics.median(commits[-tenth:]),
        "opening": in_new_process(opening, uri),
        "scanning keys": in_new_process(scanning, uri),
        "one more commit": in_new_process(one_more, uri, count, per_commit, frames),
        "one song": in_new_process(looking_up, uri, some_song),
        "all codes": in_new_process(streaming, uri),
    }
    times["compacting"] = seconds(lambda: opened(uri).compact())
    after = {
        "opening, compacted": in_new_process(opening, uri),
        "scanning keys, compacted": in_new_process(scanning, uri),
        "one more commit, compacted": in_new_process(one_more, uri, count + per_commit, per_commit, frames),
        "one song, compacted": in_new_process(looking_up, uri, some_song),
        "all codes, compacted": in_new_process(streaming, uri),
    }
    return {**times, **after}


def _filler(kind: pa.DataType, count: int) -> pa.Array:
    value: Any = "words" if pa.types.is_string(kind) else 7
    if pa.types.is_list(kind):
        value = ["calm", "piano"] if pa.types.is_string(kind.value_type) else [0.5, 0.25, 0.75]
    return pa.array([value] * count, kind)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--per_commit", type=int, default=64)
    parser.add_argument("--frames", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(count, options.per_commit, options.frames, folder) for count in options.songs]
    title = f"{options.per_commit} songs a commit, {options.frames} frames, {STREAMS} streams; seconds"
    table = Table("songs", *(f"{count:,}" for count in options.songs), title=title)
    for name in found[0]:
        times = [result[name] for result in found]
        growth = ["", *(f" ×{later / earlier:.1f}" for earlier, later in pairwise(times))]
        table.add_row(name, *(f"{value:.3f}{times_more}" for value, times_more in zip(times, growth, strict=True)))
    Console().print(table)


if __name__ == "__main__":
    main()
