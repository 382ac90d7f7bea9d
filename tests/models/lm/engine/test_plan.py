from __future__ import annotations

import pytest
import torch

from models.errors import StemsError
from models.lm.engine import plan as planning
from models.lm.engine.network import DecodingNetwork
from models.lm.engine.plan import EnginePlan, plan_engine
from models.lm.engine.roofline import memory_bandwidth, step_seconds
from models.lm.engine.rows import Rows
from models.lm.engine.weights import Precision
from models.lm.transformer import StemTransformer, TransformerSize

SIZE = TransformerSize(streams=4, cardinality=20, dim=32, heads=4, layers=2, text_dim=8)
DELAYS = (0, 0, 1, 2)


def make(slots: int, precision: Precision = "float32") -> EnginePlan:
    return plan_engine(
        SIZE, DELAYS, 60, 20, longest=1_000, slots=slots, precision=precision, device=torch.device("cpu")
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_plan_counts_what_an_engine_takes(precision: Precision) -> None:
    made = make(3, precision)
    rows = Rows(made.rows, made.shape, made.dtype, torch.device("cpu"))
    remembered = sum(t.nbytes for t in (rows.keys, rows.values, rows.text_keys, rows.text_values))
    assert made.slots * made.slot_bytes == remembered
    network = DecodingNetwork(StemTransformer(SIZE), precision, made.shape.steps)
    scales = 4 * 2 * (3 * 32 + 3 * 32 + 4 * 32 + 32) + 4 * 80 if precision == "int8" else 0
    assert made.weight_bytes + scales == network.nbytes


def test_what_does_not_fit_is_refused_with_the_number_that_would(monkeypatch: pytest.MonkeyPatch) -> None:
    one = make(1)
    monkeypatch.setattr(planning, "free_bytes", lambda device: 5 * one.slot_bytes + 10)
    assert make(5).slots == 5
    with pytest.raises(StemsError, match="5 would fit") as caught:
        make(6)
    assert caught.value.field == "slots"
    monkeypatch.setattr(planning, "free_bytes", lambda device: 10)
    with pytest.raises(StemsError, match="Not one fits"):
        make(1)


def test_no_slots_are_refused() -> None:
    with pytest.raises(StemsError, match="0 slots"):
        make(0)


def test_a_step_takes_no_less_than_reading_what_it_reads() -> None:
    made = make(2)
    empty, full = step_seconds(made, 1e9), step_seconds(made, 1e9, requests=2, filled=60)
    assert empty == made.weight_bytes / 1e9
    # Two requests of two rows, keys and values of every layer, in float32.
    assert full - empty == pytest.approx(2 * 2 * 2 * 2 * 32 * 60 * 4 / 1e9)


def test_the_bandwidth_is_that_of_a_memory() -> None:
    assert 1e8 < memory_bandwidth(torch.device("cpu"), size=2**24, turns=2) < 1e13
