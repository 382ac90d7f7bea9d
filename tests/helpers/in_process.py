"""Table jobs in this process: the same functions, block by block, without Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pyarrow as pa
import pytest

from cluster.nodes import NodeShape
from pipelines.tokens.encode.actor import TokenizerActor

Stage = Callable[[pa.Table], pa.Table]


def run_in_process(patch: pytest.MonkeyPatch) -> None:
    """Let jobs that are called from now on run so."""
    patch.setattr("pipelines.tokens.run.run.connect", lambda: False)
    patch.setattr("pipelines.tokens.run.run.read_shapes", lambda: [NodeShape({"CPU": 2.0, "memory": 8e9})])
    patch.setattr("pipelines.tokens.run.run.tokenizing", lambda task, settings, _: (task, TokenizerActor(settings)))
    patch.setattr("pipelines.tokens.run.survey.inspection", lambda task, _: (task,))
    for module in ("run.run", "run.survey"):
        patch.setattr(f"pipelines.tokens.{module}.watch", lambda _: nullcontext())
        patch.setattr(f"pipelines.tokens.{module}.LostNodes", lambda: nullcontext(lambda: False))
        patch.setattr(f"pipelines.tokens.{module}.read_stream", _read_stream)


def _read_stream(stages: tuple[Stage, ...], column: str, lines: list[str], block: int) -> Iterator[dict[str, Any]]:
    for start in range(0, len(lines), block):
        rows = pa.table({column: lines[start : start + block]})
        for stage in stages:
            rows = stage(rows)
        yield from rows.to_pylist()
