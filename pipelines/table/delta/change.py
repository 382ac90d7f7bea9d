"""A change of a table that others change too: planned on what is there, committed, and again if they were quicker."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from models.errors import StemsError
from pipelines.table.delta import commit as delta_commit
from pipelines.table.delta.commit import CommitStep, DataFile
from pipelines.table.delta.data_files import Version
from pipelines.table.delta.storage import TRIES, DeltaStorage, may_pass

_ATTEMPTS = 100
_PAUSE_S = 0.05


@dataclass(frozen=True)
class Plan:
    """What a change does to one version. Files never change, so equal plans write equal rows.

    Args:
        removed: the files that go, and how many rows of each the change is about.
        rows: which of the rows that were given are appended.
    """

    removed: Mapping[str, int] = field(default_factory=dict)
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Change:
    """A change of any version.

    Args:
        operation: its name in the table's history.
        plan: what it does to a version; None where it does nothing.
        content: the rows to write for a plan.
    """

    operation: str
    plan: Callable[[Version], Plan | None]
    content: Callable[[Version, Plan], Iterable[pa.Table]]

    def make(self, storage: DeltaStorage, newest: Callable[[], Version], schema: pa.Schema) -> Plan | None:
        """Commit the change as the version after the newest, whole; return what was done, None where nothing was.

        Raises:
            StemsError: other writers were quicker every time, or the storage does not answer.
        """
        name = uuid.uuid4().hex
        planned: Plan | None = None
        written: list[DataFile] = []
        tried: int | None = None  # the version that this change may have become, though no answer said so
        lost = 0
        for attempt in range(_ATTEMPTS):
            version = newest()
            if tried is not None and storage.retried(partial(delta_commit.landed, storage.filesystem, tried, name)):
                return planned
            wanted = storage.retried(partial(self.plan, version))
            if wanted is None:
                return None
            delta_commit.passed(CommitStep.PLANNED)
            if wanted != planned:
                written = storage.retried(partial(self._write, storage, version, wanted, schema))
                planned = wanted
            removed = [version.files[path] for path in wanted.removed]
            if not written and not removed:
                return None
            tried = version.number + 1
            with storage.errors():
                try:
                    done = delta_commit.commit(version.table, name, self.operation, written, removed)
                except Exception as error:  # done or not: the next attempt finds out
                    lost += 1
                    if lost == TRIES or not may_pass(error):
                        raise
                    done = False
            if done:
                delta_commit.passed(CommitStep.ACKNOWLEDGED)
                return planned
            time.sleep(random.uniform(0, _PAUSE_S * min(attempt + 1, 20)))
        raise StemsError(
            f"'{storage.uri}' could not be written: other jobs committed first {_ATTEMPTS} times.",
            "Run fewer jobs on one table, or let each commit more songs at a time.",
            code="busy",
        )

    def _write(self, storage: DeltaStorage, version: Version, plan: Plan, schema: pa.Schema) -> list[DataFile]:
        rows = self.content(version, plan)
        return delta_commit.write_files(rows, storage.filesystem, schema, version.key)
