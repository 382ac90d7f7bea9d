"""Devices that are not there are refused by name, before anything is loaded."""

from __future__ import annotations

import pytest
import torch

from models.device import usable_device
from models.errors import StemsError


@pytest.mark.parametrize("name", ["tpu", "", "meta", "xla", "cuda:-1", "cuda:x", "CUDA", "cpu:1", "cuda\n", "é"])
def test_what_is_no_device_is_named(name: str) -> None:
    with pytest.raises(StemsError) as caught:
        usable_device(name)
    assert caught.value.field == "device"


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_seen_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(StemsError, match=r"sees no \w+ device .* --device cpu"):
        usable_device(name)


def test_one_gpu_has_the_number_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert usable_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(StemsError, match="Use cuda:0"):
        usable_device("cuda:7")


def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert usable_device("auto") == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device("auto") == torch.device("cpu")


def test_the_cpu_is_always_there() -> None:
    assert usable_device("cpu") == torch.device("cpu")
