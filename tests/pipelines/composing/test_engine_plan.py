"""`stems engine plan` before there is a model, and on machines that are too small."""

from __future__ import annotations

import pytest
from rich.console import Console

from models.errors import StemsError
from models.lm.engine import plan as planning
from pipelines.composing import engine_plan
from pipelines.composing.config import EnginePlanConfig


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 100 GB of free memory that is read at 10 GB/s."""
    for module in (planning, engine_plan):
        monkeypatch.setattr(module, "free_bytes", lambda device: 100 * 10**9)
    monkeypatch.setattr(engine_plan, "memory_bandwidth", lambda device: 10e9)


def text(config: EnginePlanConfig) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(engine_plan.plan(config).summary())
    return captured.get()


def test_a_plan_says_what_a_preset_takes_and_how_fast_it_can_be() -> None:
    shown = text(EnginePlanConfig(preset="small", slots=2, precision="bfloat16"))
    assert "2 guided or 4 unguided requests" in shown
    # 24 layers of 14 × 1024² weights, and heads of 6 × 2048 × 1024, two bytes each.
    assert "0.73 GB" in shown
    assert "73.0 ms: at most 0.3 × real time" in shown
    # An edit's window: 25 s, its prefix of 5 s, a column between them, and 4 steps for the delays.
    assert "0.35 GB for 1505 steps" in shown


def test_a_machine_that_is_too_small_is_told_what_would_fit() -> None:
    with pytest.raises(StemsError, match="would fit"):
        engine_plan.plan(EnginePlanConfig(preset="large", slots=100, precision="bfloat16"))


def test_an_unknown_preset_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(StemsError, match="tiny, small, medium, large") as caught:
        engine_plan.plan(EnginePlanConfig(preset="huge"))
    assert caught.value.field == "preset"
