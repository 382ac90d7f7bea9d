"""Captions that come after the tokens: `python -m benchmarks.words --songs 100000 --frames 500`.

`stems prepare` runs over a catalog that is in the table already, of which every song has got a caption since: once
over the table as commits of 64 songs left it; once killed (SIGKILL) when about half is done, and again; once
compacted. Each time rows with the new captions are counted, and codes are compared with what they were. Files are
empty and rows made up, as in `benchmarks.again`. Times are of the whole command, in a process of its own. A song of
three minutes has 9,000 frames.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.again import fill, write_files, write_models
from benchmarks.turns import seconds
from pipelines.catalog.load import import_catalog
from pipelines.table.schema import codes_from_arrow
from pipelines.table.token_table import TokenTable
from pipelines.tokens.config import PrepareConfig


def write_captions(songs: Path, what: str) -> int:
    """Give every song a caption; how many."""
    names = sorted(str(file.relative_to(songs)) for file in songs.glob("*/*.flac"))
    lines = (json.dumps({"file_name": name, "caption": f"{what}, {name}"}) for name in names)
    (songs / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return len(names)


def codes_of(table: TokenTable) -> dict[str, bytes]:
    """A hash of each song's codes."""
    found = {}
    for batch in table.stream(["song_id", "codes"]):
        for song, codes in zip(batch["song_id"].to_pylist(), batch["codes"], strict=True):
            found[song] = hashlib.blake2b(codes_from_arrow(codes).tobytes(), digest_size=16).digest()
    return found


def captioned(table: TokenTable, what: str) -> int:
    """Rows whose caption is of this kind."""
    captions = table.rows(columns=["caption"])["caption"].to_pylist()
    return sum(caption.startswith(f"{what}, ") for caption in captions)


def start(config: PrepareConfig) -> subprocess.Popen[bytes]:
    """`stems prepare` in a process of its own."""
    given = {name: getattr(config, name) for name in ("catalog", "table", "separator", "codecs")}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    return subprocess.Popen([sys.executable, "-m", "cli", "prepare", *words], stdout=subprocess.DEVNULL)


def finish(config: PrepareConfig) -> None:
    """The same, to its end."""
    status = start(config).wait()
    if status:
        raise SystemExit(f"prepare ended with {status}")


def kill_when(config: PrepareConfig, commits: int) -> float:
    """Start it, and kill it some commits later; seconds until then."""
    table, began = TokenTable(config.table), time.perf_counter()
    enough = table.version + commits
    process = start(config)
    while table.version < enough and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    if process.wait() != -signal.SIGKILL:
        raise SystemExit("prepare was done before it could be killed")
    return time.perf_counter() - began


def cpu_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=100_000)
    parser.add_argument("--frames", type=int, default=500)
    options = parser.parse_args()
    shown = Table("new captions for all songs", "seconds", "of CPU", "commits", "captions there", "codes as before")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root / "songs", options.songs)
        write_models(root)
        config = PrepareConfig(
            catalog=str(root / "songs"),
            table=str(root / "table"),
            separator=str(root / "separator"),
            codecs=str(root / "codecs"),
        )
        table = fill(config, import_catalog(config.catalog), options.frames)
        codes, version, spent = codes_of(table), table.version, cpu_seconds()

        def note(what: str, took: float) -> None:
            nonlocal version, spent
            version, before = table.version, version
            spent, cpu = cpu_seconds(), cpu_seconds() - spent
            same = "yes" if codes_of(table) == codes else "NO"
            shown.add_row(
                what, f"{took:.1f}", f"{cpu:.1f}", f"{version - before}", f"{captioned(table, kind):,}", same
            )

        kind = "first"
        write_captions(root / "songs", kind)
        note("as committed", seconds(lambda: finish(config)))
        kind = "second"
        write_captions(root / "songs", kind)
        half = max(1, options.songs // 4096 // 2)
        note("killed on the way", kill_when(config, half))
        note("and run again", seconds(lambda: finish(config)))
        table.compact()
        version = table.version
        kind = "third"
        write_captions(root / "songs", kind)
        note("compacted", seconds(lambda: finish(config)))
    Console().print(f"{options.songs:,} songs, {options.frames:,} frames")
    Console().print(shown)


if __name__ == "__main__":
    main()
