"""What is trained: the part of a training job that the shared loop does not know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Which of how many workers, and where it computes."""

    rank: int
    world: int
    device: torch.device


class Recipe(Protocol):
    """One thing to learn. Subclass it; what has a body here is a default.

    The loop seeds torch before it builds a recipe, so initial weights are the same on every worker, and
    before each loss (from seed, step and rank), so dropout and its like repeat when a run is resumed.
    """

    module: nn.Module
    """All trained parameters and every buffer that a checkpoint must hold. Each parameter that asks for a gradient
    must take part in each loss: with several workers, gradients are averaged as they arrive."""

    def prepare(self, place: Place) -> None:
        """Open the data; the loop then moves ``module`` to the place's device."""
        ...

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over some items of global batch ``step``, and metrics of the same names always.

        Call ``module`` (it may be ``self.module`` wrapped for several workers), not ``self.module``. An item must
        be a pure function of (seed, step, index), so that any worker may take it.
        """
        ...

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer of what is trained; its learning rate is set by the loop before each step."""
        return torch.optim.AdamW(parameters, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def shard_units(self) -> list[nn.Module]:
        """Parts of ``module`` whose parameters are spread over workers, each gathered when it computes.

        None: every worker holds everything.
        """
        return []

    def facts(self) -> dict[str, str]:
        """What the run stands on beside its settings, for its record: versions of data, digests of models."""
        return {}

    def after_step(self, step: int) -> None:
        """Called on every worker after the optimizer took step ``step``; not after a skipped one."""
        return

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Metrics on held-out data: the same on every worker. Called on all, in eval mode, without gradients."""
        ...

    def sample(self, directory: Path) -> None:
        """Write a few things to listen to. Called on a recipe of its own, prepared for one worker."""
        return

    def export(self, directory: Path) -> None:
        """Write the finished model into ``directory``, which exists and is empty.

        Called on a recipe of its own that holds the finished weights, on the CPU, and has not been prepared.
        """
        ...
