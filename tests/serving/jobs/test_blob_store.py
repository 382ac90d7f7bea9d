"""Files of jobs, in a directory and in a bucket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.s3 import Bucket

from models.errors import StemsError
from serving.jobs.blob_store import JobFiles


@pytest.mark.parametrize("where", ["directory", "s3"])
def test_files_are_kept_by_job_and_removed_with_it(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path / "files")
    if where == "s3":
        bucket: Bucket = request.getfixturevalue("s3")
        root = f"{bucket.uri}/files"
    files = JobFiles(root)
    data = np.random.default_rng(0).bytes(1000)
    files.put("-job_1", {"bass.flac": data, "manifest.json": b"{}"})
    files.put("job_2", {"bass.flac": b"other"})
    assert files.get("-job_1", "bass.flac") == data
    assert files.get("-job_1", "drums.flac") is None
    files.remove("-job_1")
    files.remove("-job_1")
    assert files.get("-job_1", "bass.flac") is None
    assert files.get("job_2", "bass.flac") == b"other"


@pytest.mark.parametrize(
    ("job", "name"), [("job", "../x"), ("../job", "x"), ("job", "a/b"), ("job", ""), ("", "x"), ("job", "a\0")]
)
def test_files_lie_nowhere_else(job: str, name: str, tmp_path: Path) -> None:
    files = JobFiles(str(tmp_path / "files"))
    with pytest.raises(StemsError):
        files.get(job, name)
    with pytest.raises(StemsError):
        files.put(job, {name: b"x"})
