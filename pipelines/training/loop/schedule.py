"""The learning rate, as a pure function of the step."""

from __future__ import annotations

import math

from pipelines.training.config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int) -> float:
    """Rate of step ``step`` (from 0): linear warm-up to the peak, then a cosine down to zero."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    span = max(1, config.steps - config.warmup_steps)
    done = min(1.0, (step - config.warmup_steps) / span)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
