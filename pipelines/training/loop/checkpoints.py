"""Training state on disk: complete or absent, never half-written.

``<output>/checkpoints/step-N`` is a ``torch.distributed.checkpoint`` of the module, the optimizer and the averaged
weights, with ``config.json`` beside it. It is written under another name and renamed, so every ``step-N`` is
complete; any number of workers can read a checkpoint of any other number.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from models.errors import StemsError
from models.files.storage import storage_error
from pipelines.training.config import TrainingConfig
from pipelines.training.loop.recipe import Place
from pipelines.training.loop.run_directory import RunDirectory

KEPT = 2
UNFINISHED = ".unfinished-"

# A single process is often intended, but torch warns about it from its own threads.
warnings.filterwarnings("ignore", message="torch.distributed is disabled")


def clear_unfinished(folder: Path) -> None:
    """Remove the incomplete files of a killed run."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)


class Checkpoint(NamedTuple):
    """A complete checkpoint: the steps done, and its directory."""

    step: int
    path: Path


def checkpoints(output: Path) -> list[Checkpoint]:
    """Complete checkpoints of a run, oldest first."""
    found = [(path.name.removeprefix("step-"), path) for path in RunDirectory(output).checkpoints.glob("step-*")]
    return sorted(Checkpoint(int(step), path) for step, path in found if step.isdigit())


class CheckpointWriter:
    """Writes checkpoints in the background: training waits only while the state is copied.

    With several workers each writes its part, and all must call :meth:`save` at the same step.
    """

    def __init__(self, output: Path, config: TrainingConfig, place: Place) -> None:
        self.output, self.config, self.place = output, config, place
        # Tensors are written from the CPU, which a process group of GPUs does not support, even with one member.
        self._group = dist.new_group(backend="gloo") if dist.is_initialized() else None
        self._pending: tuple[int, Future[Any]] | None = None
        self._bytes = 0

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Start to write the state after ``step`` steps, once the previous checkpoint is complete."""
        self.settle()
        self._bytes = bytes_of(state)
        with self._whole_or_absent(step):
            writing: Any = dcp.async_save(
                {**state, "step": step},
                checkpoint_id=self._unfinished(step),
                process_group=self._group,
                no_dist=self.place.world == 1,
            )
        self._pending = step, writing

    def settle(self, *, wait: bool = True) -> None:
        """Rename a written checkpoint and remove all but the newest; the coordinator finishes last."""
        if self._pending is None or not (wait or self._pending[1].done()):
            return
        (step, writing), self._pending = self._pending, None
        with self._whole_or_absent(step):
            writing.result()
            if self.place.rank == 0:
                fresh, target = self._unfinished(step), RunDirectory(self.output).checkpoints / f"step-{step}"
                settings = json.dumps(self.config.model_dump(mode="json"), indent=2)
                (fresh / "config.json").write_text(settings, encoding="utf-8")
                shutil.rmtree(target, ignore_errors=True)
                fresh.replace(target)
                for old in checkpoints(self.output)[:-KEPT]:
                    shutil.rmtree(old.path)

    @contextmanager
    def _whole_or_absent(self, step: int) -> Iterator[None]:
        """If the disk is full, remove this checkpoint; earlier ones stay."""
        try:
            yield
        except (Exception, CheckpointException) as error:
            full = storage_error(error, RunDirectory(self.output).checkpoints, self._bytes)
            if full is None:
                raise
            shutil.rmtree(self._unfinished(step), ignore_errors=True)
            raise full from error

    def _unfinished(self, step: int) -> Path:
        return RunDirectory(self.output).checkpoints / f"{UNFINISHED}step-{step}"


def bytes_of(state: Any) -> int:
    """Bytes of all tensors in nested dictionaries and lists."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(map(bytes_of, state.values()))
    return sum(map(bytes_of, state)) if isinstance(state, Sequence) and not isinstance(state, str) else 0


def load_state(path: Path, state: dict[str, Any], *, alone: bool) -> None:
    """Fill a state of the same structure from a checkpoint that any number of workers wrote.

    Args:
        path: a checkpoint.
        state: nested dictionaries of tensors, which are written in place; entries may be left out.
        alone: read as a single process, even if others are training too.

    Raises:
        StemsError: ``unreadable`` when the checkpoint is damaged.
    """
    # With several workers, other errors may come from the death of one of them.
    damage = (Exception, CheckpointException) if alone else CheckpointException
    try:
        dcp.load(state, checkpoint_id=path, no_dist=alone)
    except damage as error:
        raise StemsError(
            f"The checkpoint {path} cannot be read: {error}.",
            "Delete that directory to continue from the one before it, or train with resume false.",
            code="unreadable",
            field="output",
        ) from error


def check_same_run(path: Path, config: TrainingConfig) -> None:
    """Refuse to continue a run with other settings that determine its result; StemsError names the field."""
    then = json.loads((path / "config.json").read_text(encoding="utf-8"))
    for name, value in config.identity().items():
        if name not in then or then[name] != value:
            raise StemsError(
                f"The run in {config.output} was made with {name}={then.get(name)!r}, not {value!r}.",
                f"Set {name} back, choose a new output, or set resume to false to start again.",
                code="mismatch",
                field=name,
            )
