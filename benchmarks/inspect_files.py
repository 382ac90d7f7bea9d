"""The first phase of `stems prepare` on 1,000 small files of all kinds: CPU seconds, peak memory, and what was found.

    python benchmarks/inspect_files.py --files 1000

Run it on two versions of the code to compare them; the digest tells whether both gave the same songs.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.audio.files import Audio, AudioFormat, encode_audio
from pipelines.catalog.schema import CatalogEntry, entry_to_json
from pipelines.tokens.songs.inspect import inspect_file
from pipelines.tokens.songs.limits import SongLimits

KINDS: tuple[AudioFormat, ...] = ("mp3", "ogg", "opus", "flac", "wav")
SECONDS = (3.0, 6.0, 12.0)


def files(folder: Path, count: int) -> Iterator[Path]:
    """Write songs of noise in turn of all kinds and lengths; each in a file of its own."""
    random = np.random.default_rng(0)
    for number in range(count):
        kind, seconds = KINDS[number % len(KINDS)], SECONDS[number // len(KINDS) % len(SECONDS)]
        samples = 0.2 * random.standard_normal((2, round(44_100 * seconds)), dtype=np.float32)
        path = folder / f"{number:05}.{kind}"
        path.write_bytes(encode_audio(Audio(samples, 44_100), kind))
        yield path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", help="keeps the files there, for the next version")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(given.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = sorted(folder.iterdir()) or list(files(folder, given.files))
        lines = [entry_to_json(CatalogEntry(str(path), path.name, size=path.stat().st_size)) for path in paths]
        limits = SongLimits(1.0, 600.0, 100.0)
        inspect_file(lines[0], limits)
        took = []
        for _ in range(given.repeat):
            began = time.process_time()
            found = [inspect_file(line, limits) for line in lines]
            took.append(time.process_time() - began)
    digest = hashlib.blake2b("".join(each.song_id for each in found).encode(), digest_size=8).hexdigest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    reasons = dict(Counter(each.reason or "song" for each in found))
    print(f"{len(paths)} files, {sum(each.seconds for each in found) / 3600:.2f} hours: {reasons}, songs {digest}")
    print(f"CPU seconds: {min(took):.2f} (of {', '.join(f'{each:.2f}' for each in took)}); peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
