"""What is trained: the part of a training job that the shared loop does not know."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn


class Recipe(Protocol):
    """One thing to learn. Subclass it; ``optimizer`` and ``after_step`` have defaults.

    The loop seeds torch before it builds a recipe, so initial weights are the same on every worker, and
    before each loss (from seed, step and rank), so dropout and its like repeat when a run is resumed.
    """

    module: nn.Module
    """All trained parameters and every buffer that a checkpoint must hold. Each parameter must take part in
    each loss: with several workers, gradients are averaged as they arrive."""

    def prepare(self, rank: int, world: int, device: torch.device) -> None:
        """Open the data as worker ``rank`` of ``world``; the loop then moves ``module`` to ``device``."""
        ...

    def loss(self, module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        """Mean loss of a worker's share of global batch ``step``, and metrics of the same names always.

        Call ``module`` (it may be ``self.module`` wrapped for several workers), not ``self.module``. Samples
        must be a pure function of (seed, step, index) with index in ``sampler.share(batch, rank, world)``.
        """
        ...

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer; its learning rate is set by the loop before each step."""
        return torch.optim.AdamW(parameters, betas=(0.9, 0.95), weight_decay=0.1)

    def after_step(self, step: int) -> None:
        """Called on every worker after the optimizer took step ``step``; not after a skipped one."""
        return

    def validate(self, module: nn.Module) -> dict[str, float]:
        """Metrics on held-out data. Called on worker 0 alone, in eval mode, without gradients."""
        ...

    def export(self, directory: Path) -> None:
        """Write the finished model into ``directory``, which exists and is empty."""
        ...
