"""How kernels are launched on a device."""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

_AHEAD_FROM = (9, 0)
"""The first compute capability that can start a kernel before the one in front of it has ended."""


@functools.cache
def can_compile() -> bool:
    """Whether Triton, the kernels' compiler, is installed; it comes with PyTorch for CUDA."""
    return importlib.util.find_spec("triton") is not None


@dataclass(frozen=True)
class Launch:
    """The kernels, and the options that every launch takes beside the kernel's own arguments."""

    kernels: ModuleType
    options: dict[str, Any]

    @classmethod
    def on(cls, device: torch.device) -> Launch:
        """The launch for a device; from compute capability 9.0 on, kernels are launched ahead of time."""
        from models.lm.engine.gpu import kernels

        ahead = device.type == "cuda" and torch.cuda.get_device_capability(device) >= _AHEAD_FROM
        return cls(kernels, {"AHEAD": True, "launch_pdl": True} if ahead else {"AHEAD": False})


def next_power_of_two(count: int) -> int:
    """The least power of two that is not below a number: blocks of a kernel have such sizes."""
    return 1 << (count - 1).bit_length()
