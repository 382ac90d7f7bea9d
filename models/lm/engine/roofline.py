"""How fast memory lets a step be: a step takes at least as long as reading what it reads."""

from __future__ import annotations

import time

import torch

from models.lm.engine.plan import EnginePlan
from models.memory import huge_zeros


def memory_bandwidth(device: torch.device, size: int = 2**29, turns: int = 7) -> float:
    """Bytes per second that all threads together read from memory: the best of several turns over ``size`` bytes."""
    numbers = huge_zeros((size // 4,), torch.float32, device).fill_(1)
    best = float("inf")
    for _ in range(turns):
        _wait(device)
        began = time.perf_counter()
        numbers.max()
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return numbers.nbytes / best


def step_seconds(plan: EnginePlan, bandwidth: float, *, requests: int = 1, filled: int = 0) -> float:
    """The least time of one step.

    Args:
        plan: the engine's sizes.
        bandwidth: of the memory, in bytes per second.
        requests: guided requests in the step.
        filled: steps that each of them has in the KV cache.
    """
    cache_bytes = requests * (plan.step_bytes(filled) - plan.weight_bytes)
    return (plan.weight_bytes + cache_bytes) / bandwidth


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
