"""Uploads and results as files, in a directory or on S3."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import fsspec

from models.errors import StemsError
from models.files.storage import storage_error
from serving.errors import no_room
from serving.jobs.job_store import JobStore

log = logging.getLogger(__name__)

_JOB, _NAME = re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")


class JobFiles:
    """A folder of files for each job. Its calls block.

    A folder counts once its job's record says so; until then it may be written again.
    """

    def __init__(self, root: str) -> None:
        try:
            self._store, self._root = fsspec.core.url_to_fs(root)
            self._store.makedirs(self._root, exist_ok=True)
        except (OSError, ValueError, ImportError) as error:
            raise StemsError(
                f"Results cannot be stored in '{root}' (--results): {error}.", "Check the address.", field="results"
            ) from error

    def check_writable(self) -> None:
        """Write a file and remove it; StemsError if that fails."""
        trial = f"{self._root}/.{secrets.token_hex(8)}"
        try:
            self._store.pipe_file(trial, b"")
            self._store.rm_file(trial)
        except OSError as error:
            raise StemsError(
                f"Results cannot be stored in '{self._root}' (--results): {error.strerror or error}.",
                "Choose a directory or bucket that the service can write to.",
                code="unwritable",
                field="results",
            ) from error

    @property
    def folder(self) -> Path | None:
        """The directory, if it is on this machine."""
        return Path(self._root) if "file" in _protocols(self._store) else None

    def put(self, job: str, files: Mapping[str, bytes]) -> None:
        """Store files of a job: all of them or none.

        Raises:
            StemsError: code ``storage``: the disk is full.
        """
        paths = {self._path(job, name): data for name, data in files.items()}
        needs = sum(map(len, files.values()))
        try:
            self._store.makedirs(f"{self._root}/{job}", exist_ok=True)
            for path, data in paths.items():
                self._store.pipe_file(path, data)
        except Exception as error:
            full = storage_error(error, self._root, needs)
            with suppress(Exception):
                self.remove(job)
            if full is None:
                raise
            log.error("Job %s: %s", job, full)
            raise no_room(needs) from error

    def get(self, job: str, name: str) -> bytes | None:
        """One file; None if there is no such file."""
        try:
            return bytes(self._store.cat_file(self._path(job, name)))
        except FileNotFoundError:
            return None

    def remove(self, job: str) -> None:
        """Remove all files of a job."""
        folder = f"{self._root}/{job}"
        if self._store.exists(folder):
            self._store.rm(folder, recursive=True)

    def _path(self, job: str, name: str) -> str:
        if not _NAME.fullmatch(name) or not _JOB.fullmatch(job):
            raise StemsError(f"'{name[:80]}' is not a file name.", "Choose another one.", code="missing")
        return f"{self._root}/{job}/{name}"


@dataclass(frozen=True)
class Stores:
    """Where jobs, uploads and results are stored."""

    jobs: JobStore
    uploads: JobFiles
    results: JobFiles


def _protocols(store: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (store.protocol,) if isinstance(store.protocol, str) else tuple(store.protocol)
