"""Signals while Ray starts."""

from __future__ import annotations

import os
import signal
from types import FrameType

import pytest

from cluster.connect import _signals, named_cluster


def test_a_signal_that_python_drops_still_interrupts_and_handlers_are_as_before() -> None:
    before, waking = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)

    def drop(number: int, frame: FrameType | None) -> None:
        pass

    def receive() -> None:
        with _signals():
            signal.signal(signal.SIGTERM, drop)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        receive()
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(waking) == -1


def test_rays_own_answer_to_sigterm_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt), _signals():
        raise SystemExit(signal.SIGTERM)


def test_only_ray_address_names_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, named in (("", ""), ("local", ""), (" auto ", "auto"), ("10.0.0.1:6379", "10.0.0.1:6379")):
        monkeypatch.setenv("RAY_ADDRESS", value)
        assert named_cluster() == named
    monkeypatch.delenv("RAY_ADDRESS")
    assert named_cluster() == ""
