"""The S3 server of the tests: it fails requests and clients get over it, and it decides races as S3 does."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pytest
import s3fs
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from helpers.s3 import NO_FAULTS, Bucket
from helpers.s3_proxy import Faults
from pyarrow.fs import FileSystem


def create(uri: str, content: bytes) -> int:
    """The status that S3 answers to a write that must be the first one."""
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    try:
        answer = s3fs.S3FileSystem().call_s3("put_object", Bucket=bucket, Key=key, Body=content, IfNoneMatch="*")
    except OSError as error:
        answer = vars(error.__cause__)["response"]
    return int(answer["ResponseMetadata"]["HTTPStatusCode"])


def test_files_arrive_whole_through_every_kind_of_fault(s3: Bucket) -> None:
    files, sent = s3fs.S3FileSystem(), {f"a song/{n}.bin": bytes([n]) * 100_000 for n in range(12)}
    with s3.server.failing(Faults(60, errors=0.1, slow=0.05, cut=0.1, stalls=0.03, lost_answers=0.1)) as injected:
        for name, content in sent.items():
            files.pipe_file(f"{s3.uri}/{name}", content)
        listed = files.find(s3.uri)
        got = {path.split("/", 1)[1]: files.cat_file(path) for path in listed}
    assert got == sent
    assert set(injected) == {"errors", "slow", "cut", "stalls", "lost_answers"}


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("errors", "HTTP Error 500"),
        ("slow", "HTTP Error 503"),
        ("cut", r"IncompleteRead\(500 bytes read, 500 more expected\)"),
        ("stalls", "Remote end closed connection without response"),
    ],
)
def test_a_fault_is_what_it_is_called(s3: Bucket, fault: str, seen: str) -> None:
    files = s3fs.S3FileSystem()
    files.pipe_file(f"{s3.uri}/file", bytes(1000))
    url = files.sign(f"{s3.uri}/file")
    plan: dict[str, Any] = {fault: 1.0}
    with s3.server.failing(replace(NO_FAULTS, in_a_row=1, stall_s=0.1, **plan)) as injected:
        with pytest.raises((OSError, HTTPException), match=seen):
            urlopen(url).read()
        assert urlopen(url).read() == bytes(1000)
    assert injected == {fault: 1}


def test_the_plan_follows_from_the_seed() -> None:
    plan, again, other = ([Faults(seed).draw(number) for number in range(2000)] for seed in (3, 3, 4))
    assert plan == again != other
    assert {name: round(count / 2000, 2) for name, count in Counter(plan).items()} == pytest.approx(
        {"": 0.85, "errors": 0.05, "slow": 0.05, "cut": 0.02, "stalls": 0.01, "lost_answers": 0.02}, abs=0.02
    )


def test_an_object_is_created_once(s3: Bucket) -> None:
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda number: create(f"{s3.uri}/lock", bytes([number])), range(8)))
    assert sorted(said) == [200] + 7 * [412]
    assert s3fs.S3FileSystem().cat_file(f"{s3.uri}/lock") == bytes([said.index(200)])


def test_a_write_whose_answer_is_lost_is_done(s3: Bucket) -> None:
    with s3.server.failing(replace(NO_FAULTS, lost_answers=1, in_a_row=1)) as injected:
        assert create(f"{s3.uri}/lock", b"mine") == 412  # says the second try
    assert injected == {"lost_answers": 1}
    assert s3fs.S3FileSystem().cat_file(f"{s3.uri}/lock") == b"mine"


def test_one_of_many_delta_commits_wins(s3: Bucket) -> None:
    uri = f"{s3.uri}/table"
    write_deltalake(uri, pa.table({"number": [-1]}))

    def append(number: int) -> str:
        properties = CommitProperties(max_commit_retries=0)
        try:
            rows = pa.table({"number": [number]})
            write_deltalake(DeltaTable(uri, version=0), rows, mode="append", commit_properties=properties)
        except CommitFailedError:
            return "lost"
        return "won"

    with ThreadPoolExecutor(8) as pool:
        assert Counter(pool.map(append, range(8))) == {"won": 1, "lost": 7}
    assert DeltaTable(uri).to_pyarrow_table().num_rows == 2


def test_arrow_and_other_processes_find_the_bucket(s3: Bucket) -> None:
    child = "import s3fs, sys; s3fs.S3FileSystem().pipe_file(sys.argv[1], b'hello')"
    subprocess.run([sys.executable, "-c", child, f"{s3.uri}/greeting"], check=True)
    arrow, path = FileSystem.from_uri(f"{s3.uri}/greeting")
    assert arrow.open_input_stream(path).read() == b"hello"
