"""An S3 server for tests, with the faults that object stores have.

Fixtures: ``s3_server`` runs for a whole session; ``s3`` is a bucket of one test, with the environment that finds it.
The server is in a process of its own: some of Delta's calls wait for answers while no other thread may run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import fsspec.config
import pytest
import s3fs
from helpers.s3_proxy import PLAN, Faults

CLIENT_TIMEOUT_S = 5
"""How long clients wait for an answer: by themselves, s3fs and Delta would for 15 and 30 s."""

NO_FAULTS = Faults(0, errors=0, slow=0, cut=0, stalls=0, lost_answers=0)

_S3FS = {"config_kwargs": {"read_timeout": CLIENT_TIMEOUT_S}}


class S3Server:
    """moto's S3 server behind a proxy that can fail; ``environment`` is what clients need to find it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "helpers.s3_proxy"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        self.environment = {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_TIMEOUT": f"{CLIENT_TIMEOUT_S}s",  # Delta's
            "FSSPEC_S3": json.dumps(_S3FS),
        }

    @contextmanager
    def failing(self, faults: Faults) -> Iterator[Counter[str]]:
        """Fail requests by a plan; in the end, what is yielded says how many faults of each kind there were."""
        self._put(faults)
        injected: Counter[str] = Counter()
        try:
            yield injected
        finally:
            with urllib.request.urlopen(self.endpoint + PLAN) as answer:
                injected.update(json.load(answer))
            self._put(NO_FAULTS)

    def close(self) -> None:
        """Stop the server."""
        self._process.communicate()

    def _put(self, faults: Faults) -> None:
        plan = json.dumps(asdict(faults)).encode()
        urllib.request.urlopen(urllib.request.Request(self.endpoint + PLAN, plan, method="PUT")).close()


@dataclass(frozen=True)
class Bucket:
    """A bucket of one test: its address ``s3://…``, and the server that holds it."""

    uri: str
    server: S3Server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole session."""
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket, which s3fs, Delta and Arrow find, here and in processes that are started during the test."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(fsspec.config.conf, "s3", _S3FS)
    forget_clients()
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3fs.S3FileSystem().mkdir(name)
    yield Bucket(f"s3://{name}", s3_server)
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.rm(name, recursive=True)
    forget_clients()


def forget_clients() -> None:
    """Let new ones be made, which look at the environment again."""
    for kind in (s3fs.S3FileSystem, *s3fs.S3FileSystem.__subclasses__()):
        kind.clear_instance_cache()
