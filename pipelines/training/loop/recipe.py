"""The interface between a training job and the shared loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Rank of a worker, number of workers, and its device."""

    rank: int
    world: int
    device: torch.device


class Recipe(Protocol):
    """A model to train, with its data and loss. Subclass it; methods with a body here are defaults.

    The loop seeds torch before it builds a recipe, so initial weights are the same on every worker, and
    before each loss (from seed, step and rank), so that dropout repeats when a run is resumed.
    """

    module: nn.Module
    """All trained parameters and every buffer that a checkpoint must hold. Each parameter that requires a gradient
    must contribute to each loss: with several workers, gradients are averaged as they arrive."""

    def prepare(self, place: Place) -> None:
        """Open the data; the loop then moves ``module`` to the place's device."""
        ...

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over some items of global batch ``step``, and metrics with the same names in every call.

        Call ``module`` (it may be ``self.module`` wrapped for several workers), not ``self.module``. An item must
        be a pure function of (seed, step, index), so that any worker may take it.
        """
        ...

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of the trained parameters; the loop sets its learning rate before each step."""
        return torch.optim.AdamW(parameters, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def shard_units(self) -> list[nn.Module]:
        """Parts of ``module`` to shard over workers, each gathered when it computes.

        Empty: every worker holds the whole model.
        """
        return []

    def facts(self) -> dict[str, str]:
        """Provenance to log with the run beside its settings: versions of data, digests of models."""
        return {}

    def after_step(self, step: int) -> None:
        """Called on every worker after the optimizer took step ``step``; not after a skipped one."""
        return

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Metrics on held-out data: the same on every worker. Called on all, in eval mode, without gradients."""
        ...

    def sample(self, directory: Path) -> None:
        """Write audio samples. Called on a separate recipe, prepared for one worker."""
        return

    def export(self, directory: Path) -> None:
        """Write the finished model into ``directory``, which exists and is empty.

        Called on a separate recipe that holds the final weights, on the CPU, and was not prepared.
        """
        ...
