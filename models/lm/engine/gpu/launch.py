"""How kernels are launched on a device."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

_AHEAD_FROM = (9, 0)
"""The first compute capability that starts a kernel before the one in front of it has ended."""


@functools.cache
def can_compile() -> bool:
    """Whether the kernels' compiler, which comes with PyTorch for CUDA, is there."""
    return importlib.util.find_spec("triton") is not None


@dataclass(frozen=True)
class Launch:
    """The kernels, and what each launch of one says beside its own arguments."""

    kernels: ModuleType
    options: dict[str, Any]

    @classmethod
    def on(cls, device: torch.device) -> Launch:
        """For a device."""
        from models.lm.engine.gpu import kernels

        ahead = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AHEAD_FROM
        return cls(kernels, {"AHEAD": True, "launch_pdl": True} if ahead else {"AHEAD": False})


def power(count: int) -> int:
    """The next power of two: what the shapes of a kernel are."""
    return 1 << (count - 1).bit_length()
