"""Tables on an object store: the same as on a disk, also where it fails for a while."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers.keyed import OPERATIONS, at, content, filled, rows, sixteen_writers
from helpers.s3 import Bucket
from helpers.s3_proxy import Faults

from models.errors import StemsError
from pipelines.table.delta.storage import DeltaStorage


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_do_the_same_on_s3(s3: Bucket, operation: str) -> None:
    table = filled(f"{s3.uri}/deep/table")
    work, after = OPERATIONS[operation]
    work(table)
    assert content(table) == after
    assert table.vacuum(168) == []
    assert len(table.vacuum(0)) == {"insert": 0, "compact": 2, "rewrite": 2}.get(operation, 1)
    assert content(at(table.uri)) == after


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_outlast_a_store_that_fails_now_and_then(s3: Bucket, operation: str) -> None:
    table = filled(f"{s3.uri}/table")
    work, after = OPERATIONS[operation]
    new = {f"new{number}": "first" for number in range(3)}
    with s3.server.failing(Faults(1, errors=0.1, slow=0.05, cut=0.1, stalls=0, lost_answers=0.1)) as injected:
        work(table)
        assert content(at(table.uri)) == after
        for name in new:
            assert table.insert(rows([name])) == 1
    assert sum(injected.values()) > 5
    assert content(table) == {**after, **new}
    assert len(table.history()) == 3 + 1 + len(new)


def test_operations_outlast_a_store_that_does_not_answer(s3: Bucket) -> None:
    table = at(f"{s3.uri}/table", {**s3.server.environment, "AWS_TIMEOUT": "2s"})
    with s3.server.failing(Faults(15, errors=0, slow=0, cut=0, stalls=0.15, lost_answers=0, stall_s=3)) as injected:
        assert table.insert(rows("ab")) == 2
        assert sorted(content(table)) == list("ab")
    assert injected["stalls"] > 0


def test_sixteen_processes_insert_each_key_once_on_s3(s3: Bucket) -> None:
    sixteen_writers(f"{s3.uri}/table", s3.server.environment)


def test_a_store_that_stays_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_RETRIES": "1",
        "AWS_RETRY_TIMEOUT": "1s",
    }
    with pytest.raises(StemsError, match="s3://bucket/table") as raised:
        at("s3://bucket/table", settings)
    assert raised.value.code == "unreachable"


def test_settings_come_from_the_environment_and_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_TIMEOUT", "7s")
    options = DeltaStorage("s3://bucket/table").options
    assert options["aws_allow_http"] == "true"
    assert options["aws_conditional_put"] == "etag"
    assert options["aws_timeout"] == "7s"
    assert DeltaStorage("s3://bucket/table", {"timeout": "8s"}).options["aws_timeout"] == "8s"
    with pytest.raises(StemsError, match="soon"):
        _ = DeltaStorage("s3://bucket/table", {"timeout": "soon"}).filesystem


_READS = """
import sys
from helpers.keyed import at, content
assert content(at(sys.argv[1])) == {"a": "first", "b": "first", "c": "first"}
"""


def test_a_process_that_read_from_s3_ends_cleanly(s3: Bucket) -> None:
    table = filled(f"{s3.uri}/table")
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-c", _READS, table.uri], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "")
