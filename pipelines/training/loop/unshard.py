"""A separate unsharded recipe with given weights, for export and samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipelines.training.loop.checkpoints import load_state
from pipelines.training.loop.recipe import Recipe


def whole_recipe(make_recipe: Callable[[], Recipe], weights: dict[str, Tensor]) -> Recipe:
    """A new recipe with these weights, in eval mode, on the CPU, not prepared."""
    with torch.random.fork_rng():
        recipe = make_recipe()
    recipe.module.load_state_dict(weights)
    recipe.module.eval()
    return recipe


def finished_recipe(make_recipe: Callable[[], Recipe], checkpoint: Path, *, averaged: bool) -> Recipe:
    """A new recipe with the weights of a checkpoint, or with their moving average if ``averaged``."""
    with torch.random.fork_rng():
        recipe = make_recipe()
    weights = recipe.module.state_dict()
    average = {name: value.clone() for name, value in weights.items() if torch.is_floating_point(value)}
    load_state(checkpoint, {"module": weights, **({"average": average} if averaged else {})}, alone=True)
    recipe.module.load_state_dict(weights | average if averaged else weights)
    recipe.module.eval()
    return recipe
