"""Where a table lies: one set of options for Delta, which writes the log, and Arrow, which handles data files.

Arrow reads through its own file systems. With Delta's reader, Arrow's threads would call Python, and a thread that
does so while the process ends aborts or hangs it.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pyarrow.fs import AwsStandardS3RetryStrategy, FileSystem, LocalFileSystem, S3FileSystem, SubTreeFileSystem

from models.errors import StemsError
from models.files.storage import NO_ROOM, storage_error, storage_reason
from pipelines.catalog.storage.s3 import ENDPOINTS, s3_endpoint
from pipelines.catalog.storage.stores import no_bucket

T = TypeVar("T")
TRIES = 6
_PAUSE_S = 0.2
_RETRIES = {"max_retries": "10", "retry_timeout": "30s"}  # of a request, by the clients
_S3_DEFAULTS = {
    "aws_conditional_put": "etag",  # write a log entry only where there is none: commits depend on it
    "aws_timeout": "60s",  # of a request
    "aws_connect_timeout": "10s",
}


_NO_BUCKET = ("NoSuchBucket", "specified bucket does not exist")


@dataclass(frozen=True)
class DeltaStorage:
    """A local folder or a place below a bucket.

    Args:
        uri: local path or ``s3://bucket/…``.
        given: options of the object store, as delta-rs names them; ``AWS_*`` environment variables by default.
    """

    uri: str
    given: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if "://" in self.uri and not self.uri.startswith("s3://"):
            raise StemsError(
                f"'{self.uri}' is not a place for a table.", "Give a local path or s3://….", field="table"
            )

    @cached_property
    def options(self) -> dict[str, str]:
        """Options for delta-rs."""
        if not self._remote:
            return dict(self.given or {})
        environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        if endpoint := s3_endpoint(environment):  # delta-rs knows only one of its names
            environment = {**{k: v for k, v in environment.items() if k not in ENDPOINTS}, ENDPOINTS[-1]: endpoint}
        given = environment if self.given is None else self.given
        # One spelling of each option: given two, delta-rs takes either.
        bare = {name.lower().removeprefix("aws_"): value for name, value in given.items()}
        options = {name if name in _RETRIES else f"aws_{name}": value for name, value in bare.items()}
        if options.get("aws_endpoint_url", "").startswith("http://"):
            options.setdefault("aws_allow_http", "true")
        return {**_RETRIES, **_S3_DEFAULTS, **options}

    @cached_property
    def filesystem(self) -> FileSystem:
        """Arrow's file system with the table at its root."""
        if not self._remote:
            return SubTreeFileSystem(str(Path(self.uri).absolute()), LocalFileSystem())
        return SubTreeFileSystem(self.uri.removeprefix("s3://"), S3FileSystem(**self._s3_settings()))

    @contextmanager
    def errors(self, version: int | None = None) -> Iterator[None]:
        """Turn errors of the storage into a StemsError that names the table and, if given, the version."""
        from deltalake.exceptions import DeltaError, TableNotFoundError

        try:
            yield
        except TableNotFoundError as error:
            raise StemsError(
                f"There is no token table at '{self.uri}'.",
                "Check the path, or write one with `stems prepare`.",
                code="missing",
                field="table",
            ) from error
        except FileNotFoundError as error:
            raise StemsError(
                f"'{self.uri}' lacks a file of this version: {error}.",
                "Vacuuming removes the files of old versions: read a newer one.",
                code="vacuumed",
                field="table",
            ) from error
        except (DeltaError, OSError) as error:
            if self._remote and _lacks_bucket(error):
                raise no_bucket(self.uri) from error
            full = storage_error(error, self.uri, field="table") if storage_reason(error) in NO_ROOM else None
            if full is not None and not self._remote:
                raise full from error
            asked = "" if version is None else f" at version {version}"
            raise StemsError(
                f"'{self.uri}' cannot be used{asked}: {_said(error)}.",
                "Check the address, the credentials, the network and the version; what is committed stays."
                if self._remote
                else "Check the path, the version and the disk.",
                code="unreachable" if self._remote and version is None else "unreadable",
                field="table",
            ) from error

    def retried(self, work: Callable[[], T], version: int | None = None) -> T:
        """Repeat idempotent work until it succeeds: clients repeat a request, but not an answer that was cut off.

        Raises:
            StemsError: it failed each time, as in :meth:`errors`.
        """
        with self.errors(version):
            for attempt in range(TRIES - 1):
                try:
                    return work()
                except Exception as error:
                    if not may_pass(error):
                        raise
                time.sleep(random.uniform(0, _PAUSE_S * 2**attempt))
            return work()

    @property
    def _remote(self) -> bool:
        return self.uri.startswith("s3://")

    def _s3_settings(self) -> dict[str, Any]:
        said = self.options.get
        endpoint = said("aws_endpoint_url", "")
        settings = {
            "access_key": said("aws_access_key_id"),
            "secret_key": said("aws_secret_access_key"),
            "session_token": said("aws_session_token"),
            "region": said("aws_region") or said("aws_default_region"),
            "endpoint_override": endpoint or None,
            "scheme": "http" if endpoint.startswith("http://") else "https",
            "anonymous": said("aws_skip_signature") == "true",
        }
        return {
            **{name: value for name, value in settings.items() if value is not None},
            "connect_timeout": _seconds(self.options["aws_connect_timeout"]),
            "request_timeout": _seconds(self.options["aws_timeout"]),
            "allow_delayed_open": True,  # a small file is one request, which can be repeated
            "retry_strategy": AwsStandardS3RetryStrategy(max_attempts=int(self.options["max_retries"])),
        }


def may_pass(error: Exception) -> bool:
    """Whether the error may pass if the work is tried again. Delta wraps its object store's errors in one of two."""
    if _lacks_bucket(error):
        return False
    lasts = isinstance(error, FileNotFoundError) or storage_reason(error) in NO_ROOM
    return "Generic S3 error" in str(error) or (isinstance(error, OSError) and not lasts)


def _said(error: Exception) -> str:
    """The error in words: only the message of an object store's page-long answer."""
    message = re.search(r"<Message>([^<]+)</Message>", str(error))
    return message[1].rstrip(".") if message else str(error)


def _lacks_bucket(error: Exception) -> bool:
    return any(said in str(error) for said in _NO_BUCKET)


def _seconds(duration: str) -> float:
    """``90s`` or ``2m`` as a number."""
    number, unit = duration[:-1], duration[-1:]
    if unit not in ("s", "m") or not number.isdigit():
        raise StemsError(
            f"'{duration}' is not a time-out.", "Write AWS_TIMEOUT and the like as 90s or 2m.", field="table"
        )
    return float(number) * (60 if unit == "m" else 1)
