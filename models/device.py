"""Check a device name before anything is loaded on the device."""

from __future__ import annotations

import warnings

import torch

from models.errors import StemsError

_KINDS = ("cpu", "cuda", "mps")


def usable_device(name: str) -> torch.device:
    """The device of that name: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` is a GPU of CUDA's, or the CPU.

    Raises:
        StemsError: the name is not a device, or PyTorch does not see such a device on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if _count("cuda") else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, ValueError) as error:
        raise _unknown(name) from error
    if device.type not in _KINDS:
        raise _unknown(name)
    count = _count(device.type)
    if count == 0:
        raise StemsError(
            f"PyTorch sees no {device.type} device on this machine.",
            "Use --device cpu, or install a matching driver and PyTorch.",
            code="device",
            field="device",
        )
    if device.index is not None and device.index >= count:
        there = f"{device.type}:0" if count == 1 else f"{device.type}:0 to {device.type}:{count - 1}"
        raise StemsError(
            f"There is no device '{name}' on this machine.", f"Use {there}.", code="device", field="device"
        )
    return device


def _count(kind: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about drivers that do not fit; the count is enough
        if kind == "cuda":
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(torch.backends.mps.is_available()) if kind == "mps" else 1


def _unknown(name: str) -> StemsError:
    return StemsError(
        f"'{name}' is not a supported device.",
        "Use auto, cpu, cuda, cuda:N or mps.",
        code="device",
        field="device",
    )
