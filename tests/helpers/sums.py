"""A recipe whose training can be checked by hand: sums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.training.config import TrainingConfig
from pipelines.training.data.sampler import rng
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.train import TrainingResult, train


class StoppedError(Exception):
    """Stands for a kill."""


class Sums(Recipe):
    """Learns to add up numbers, with dropout, a buffer that changes, and an optimizer with state."""

    def __init__(self, config: TrainingConfig, stop_at: int = -1, nan_at: Iterable[int] = (), dropout: float = 0.3):
        self.config, self.stop_at, self.nan_at = config, stop_at, set(nan_at)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(dropout), nn.Linear(8, 1))
        self.module.register_buffer("taken", torch.zeros(()))

    def prepare(self, place: Place) -> None:
        return

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        if step == self.stop_at:
            raise StoppedError
        drawn = [rng(self.config.seed, step, index).standard_normal(4) for index in indices]
        numbers = torch.from_numpy(np.stack(drawn)).float()
        loss = (module(numbers) - numbers.sum(dim=1, keepdim=True)).square().mean()
        return loss * math.nan if step in self.nan_at else loss, {"mean": float(numbers.mean())}

    def after_step(self, step: int) -> None:
        self.module.get_buffer("taken").add_(1)

    def validate(self, module: nn.Module) -> dict[str, float]:
        return {"of_ones": float(module(torch.ones(1, 4))), "training": float(module.training)}

    def export(self, directory: Path) -> None:
        torch.save(self.module.state_dict(), directory / "weights.pt")


def settings(output: Path, **changes: Any) -> TrainingConfig:
    fields: dict[str, Any] = {"steps": 12, "batch": 4, "seed": 3, "learning_rate": 0.05, "log_every": 1}
    fields |= {"validate_every": 5, "checkpoint_every": 4, "tracking": "off"}
    return TrainingConfig(output=str(output), **(fields | changes))


def learn(config: TrainingConfig, **traits: Any) -> TrainingResult:
    return train(config, lambda: Sums(config, **traits))


def weights(result: TrainingResult) -> dict[str, Tensor]:
    return torch.load(result.directory / "weights.pt", weights_only=True)


def rows_without_time(result: TrainingResult) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]
