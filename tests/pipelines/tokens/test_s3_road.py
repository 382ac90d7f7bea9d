"""Everything on S3, while the store fails now and then: import, prepare, stems, upkeep, new codecs, training."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs
from helpers.s3 import Bucket
from helpers.s3_proxy import Faults

from models.audio.files import Audio, encode_audio
from pipelines.table.token_table import TokenTable

SONGS = 10
FAULTS = Faults(11, errors=0.04, slow=0.04, cut=0.01, stalls=0.004, lost_answers=0.02)


def put_catalog(uri: str) -> None:
    """Songs with captions; one of them twice, one broken."""
    rng = np.random.default_rng(1)
    files: dict[str, bytes] = {"broken.wav": b"RIFF nothing", "metadata.jsonl": b""}
    for k in range(SONGS):
        time = np.arange(6 * 32000) / 32000
        tone = 0.2 * np.sin(2 * np.pi * 110 * 2 ** (k / 6) * time) * (1 + np.sin(9 * time))
        sound = Audio((tone + 0.01 * rng.standard_normal((1, len(time)))).astype(np.float32), 32000)
        files[f"song {k}.flac"] = encode_audio(sound, "flac")
        line = {"file_name": f"song {k}.flac", "caption": f"tone number {k}", "tags": ["calm"], "duration": 6.0}
        files["metadata.jsonl"] += json.dumps(line).encode() + b"\n"
    files["deep/again.wav"] = encode_audio(sound)
    store = s3fs.S3FileSystem()
    for name, content in files.items():
        store.pipe_file(f"{uri}/{name}", content)


def stems(*words: str, **settings: Any) -> str:
    """Run a command as a user does, and give back what it said."""
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words, *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{words}: {done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_road_on_s3_with_faults(tiny_models: Any, s3: Bucket, tmp_path: Path) -> None:
    put_catalog(f"{s3.uri}/songs")
    table = TokenTable(f"{s3.uri}/table")
    models = {"separator": tiny_models.separator, "codecs": tiny_models.codecs}
    job = {"table": table.root, "vocal_threshold": 1.0, "commit_songs": 4, **models}
    with s3.server.failing(FAULTS) as injected:
        said = stems("catalog", source=f"{s3.uri}/songs", dry_run="true")
        assert str(SONGS + 2) in said
        stems("catalog", source=f"{s3.uri}/songs", output=f"{s3.uri}/catalog.parquet")
        prepare = {**job, "catalog": f"{s3.uri}/catalog.parquet", "keep_stems": f"{s3.uri}/stems"}
        stems("prepare", **prepare)
        assert len(table.rows()) == len(table.stems()) == SONGS
        assert sorted(table.quarantine()["reason"].to_pylist()) == ["duplicate", "unreadable"]
        # Of the song that is there twice, the copy without words came first.
        captions = table.rows()["caption"].to_pylist()
        assert sorted(filter(None, captions)) == [f"tone number {k}" for k in range(SONGS - 1)]
        versions = table.versions()
        stems("prepare", **prepare)
        assert table.versions() == versions
        stems("table", "verify", table.root)

        codecs = Path(shutil.copytree(tiny_models.codecs, tmp_path / "codecs"))
        shutil.rmtree(codecs / "drums")
        shutil.copytree(codecs / "bass", codecs / "drums")
        stems("retokenize", table=table.root, codecs=codecs)
        assert len(table.rows()) == 2 * SONGS

        run = {"preset": "tiny", "batch": 2, "steps": 2, "tracking": f"sqlite:///{tmp_path}/mlflow.db"}
        codec = {**run, "validate_every": 2, "crop_seconds": 0.5, "output": tmp_path / "codec"}
        stems("train", "codec", stems=f"{s3.uri}/stems", stem="bass", **codec)
        lm = {**run, "validate_every": 2, "validation_examples": 2, "output": tmp_path / "lm"}
        stems("train", "lm", table=table.root, codecs=tiny_models.codecs, **lm)
        assert (tmp_path / "lm" / "model" / "model.safetensors").exists()

        stems("table", "remove", table.root, "song 3", reason="asked for")
        stems("table", "compact", table.root)
        stems("table", "verify", table.root)
    assert len(table.rows()) == 2 * (SONGS - 1)
    assert len(s3fs.S3FileSystem().find(f"{s3.uri}/stems")) == 3 * (SONGS - 1)
    assert min(injected[kind] for kind in ("errors", "slow", "lost_answers")) > 0, injected
