"""Kept stems in an object store: looked at by both ends, and never a song's fault."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import s3fs
from helpers.keyed import at, rows
from helpers.s3 import Bucket

from models.audio.files import Audio
from models.errors import StemsError
from pipelines.table.schema import StemsRow
from pipelines.tokens.run.report import PrepareReport
from pipelines.tokens.run.report_files import save
from pipelines.tokens.songs.kept_stems import write_stems
from pipelines.tokens.songs.kept_stems_check import damaged, stem_problems

SOUND = Audio((0.1 * np.random.default_rng(0).standard_normal((1, 64_000))).astype(np.float32), 32_000)


def problems(folder: str, name: str) -> list[str]:
    return list(stem_problems(folder, [name], 32_000, 2.0))


def test_stems_in_a_store_are_looked_at_by_both_ends(s3: Bucket) -> None:
    folder, store = f"{s3.uri}/stems/a song", s3fs.S3FileSystem(skip_instance_cache=True)
    write_stems(folder, {"bass": SOUND, "drums": SOUND, "other": SOUND})
    assert problems(folder, "bass") == []
    whole = store.cat_file(f"{folder}/bass.flac")
    store.pipe_file(f"{folder}/bass.flac", whole[:-1])
    store.pipe_file(f"{folder}/drums.flac", b"")
    store.rm_file(f"{folder}/other.flac")
    for name in ("bass", "drums", "other"):
        assert len(problems(folder, name)) == 1


def test_a_run_finds_stems_in_a_store_that_are_gone_or_empty_by_listing_them(s3: Bucket) -> None:
    store, kept = s3fs.S3FileSystem(skip_instance_cache=True), []
    for song in ("whole", "gone", "empty"):
        write_stems(f"{s3.uri}/stems/{song}", {"bass": SOUND, "drums": SOUND})
        kept.append(StemsRow(song, "sep", f"{s3.uri}/stems/{song}", ("bass", "drums"), 32_000, 2.0, 0.0, (), 0.0))
    store.rm_file(f"{s3.uri}/stems/gone/bass.flac")
    store.pipe_file(f"{s3.uri}/stems/empty/drums.flac", b"")
    assert damaged(kept, ("bass", "drums")) == {("gone", "sep"), ("empty", "sep")}
    assert damaged(kept, ("drums",)) == {("empty", "sep")}
    elsewhere = replace(kept[0], folder=f"{s3.uri}/nowhere/whole")
    assert damaged([elsewhere], ("bass",)) == {("whole", "sep")}


def test_a_bucket_that_went_away_is_named_with_what_the_store_says(s3: Bucket) -> None:
    table, store = at(f"{s3.uri}/table"), s3fs.S3FileSystem(skip_instance_cache=True)
    table.insert(rows("ab"))
    store.rm(s3.uri, recursive=True)
    attempts = {
        "table": lambda: table.insert(rows("cd")),
        "stems": lambda: write_stems(f"{s3.uri}/stems/a song", {"bass": SOUND}),
        "reports": lambda: save(PrepareReport(1), f"{s3.uri}/reports", "run"),
    }
    for place, attempt in attempts.items():
        with pytest.raises(StemsError, match=r"no bucket|The specified bucket does not exist") as error:
            attempt()
        assert (
            f"'{s3.uri}/{place}'" in error.value.message or f"'{s3.uri.removeprefix('s3://')}'" in error.value.message
        )
        assert "\n" not in error.value.message
    store.mkdir(s3.uri.removeprefix("s3://"))
    store.touch(f"{s3.uri}/left")
