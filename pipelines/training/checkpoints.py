"""Training state on disk: complete or absent, never half-written.

``<output>/checkpoints/step-N`` holds ``state.pt`` (module and optimizer, loadable with ``weights_only=True``)
and ``config.json``. It is written under another name and renamed, so whatever is called ``step-N`` is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.errors import StemsError
from pipelines.training.config import TrainingConfig

KEPT = 2
UNFINISHED = ".unfinished-"


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` fill a new directory, then put it in place of ``target`` in one rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.parent / f"{UNFINISHED}{target.name}-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        write(fresh)
        if target.exists():
            # A directory cannot be renamed over a filled one: move the old one aside first.
            old = target.parent / f"{UNFINISHED}old-{target.name}-{os.getpid()}"
            shutil.rmtree(old, ignore_errors=True)
            target.replace(old)
            fresh.replace(target)
            shutil.rmtree(old)
        else:
            fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    for path in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(path)


def checkpoints(output: Path) -> list[tuple[int, Path]]:
    """Complete checkpoints of a run, oldest first, each with its step."""
    found = [(path.name.removeprefix("step-"), path) for path in (output / "checkpoints").glob("step-*")]
    return sorted((int(step), path) for step, path in found if step.isdigit())


def save_checkpoint(output: Path, step: int, state: dict[str, Any], config: TrainingConfig) -> None:
    """Write the state after ``step`` steps, then remove all but the newest checkpoints."""

    def write(directory: Path) -> None:
        torch.save({**state, "step": step}, directory / "state.pt")
        (directory / "config.json").write_text(json.dumps(config.model_dump(mode="json"), indent=2))

    replace_directory(output / "checkpoints" / f"step-{step}", write)
    for _, path in checkpoints(output)[:-KEPT]:
        shutil.rmtree(path)


def load_state(path: Path, device: torch.device) -> dict[str, Any]:
    """The state that :func:`save_checkpoint` wrote; StemsError (``unreadable``) when the file is damaged."""
    try:
        return torch.load(path / "state.pt", map_location=device, weights_only=True)
    except Exception as error:
        raise StemsError(
            f"The checkpoint {path} cannot be read: {error}.",
            "Delete that directory to continue from the one before it, or train with resume false.",
            code="unreadable",
            field="output",
        ) from error


def check_same_run(path: Path, config: TrainingConfig) -> None:
    """Refuse to continue a run with settings that would make it another run; StemsError names the field."""
    then = json.loads((path / "config.json").read_text())
    for name, value in config.identity().items():
        if name not in then or then[name] != value:
            raise StemsError(
                f"The run in {config.output} was made with {name}={then.get(name)!r}, not {value!r}.",
                f"Set {name} back, choose a new output, or set resume to false to start afresh.",
                code="mismatch",
                field=name,
            )
