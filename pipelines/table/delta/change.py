"""Change a table that other processes change as well: plan, commit, and start over if another commit came first."""

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
class CommitPlan:
    """What a change does to one version. Files never change, so equal plans write equal rows.

    Args:
        removed: data files to remove, and how many rows of each the change is about.
        rows: indices of the given rows to append.
    """

    removed: Mapping[str, int] = field(default_factory=dict)
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class Change:
    """A change that can be made to any version.

    Args:
        operation: its name in the table's history.
        plan: decides what to do to a version; None for nothing.
        content: gives the rows to write for a plan.
    """

    operation: str
    plan: Callable[[Version], CommitPlan | None]
    content: Callable[[Version, CommitPlan], Iterable[pa.Table]]

    def make(self, storage: DeltaStorage, newest: Callable[[], Version], schema: pa.Schema) -> CommitPlan | None:
        """Commit the change as one new version; return the plan that was carried out, or None if nothing changed.

        Raises:
            StemsError: other writers were quicker every time, or the storage does not answer.
        """
        name = uuid.uuid4().hex
        planned: CommitPlan | None = None
        written: list[DataFile] = []
        tried: int | None = None  # the version that this change may have become although the answer was lost
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
                except Exception as error:  # the commit may have landed: the next attempt looks
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

    def _write(self, storage: DeltaStorage, version: Version, plan: CommitPlan, schema: pa.Schema) -> list[DataFile]:
        rows = self.content(version, plan)
        return delta_commit.write_files(rows, storage.filesystem, schema, version.key)
