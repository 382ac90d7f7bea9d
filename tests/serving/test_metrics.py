"""Metrics as Prometheus reads them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import FORGET_S, Meter
from serving.workers.protocol import Load

REPLICA_GAUGES = ("stems_slots", "stems_slots_taken", "stems_step_seconds", "stems_roofline_share")


def samples(meter: Meter, running: int = 1) -> dict[tuple[str, str], float]:
    """Values by name and by the one label that matters."""
    text = meter.render(0, running, False).decode()
    families = text_string_to_metric_families(text)
    return {
        (sample.name, next((sample.labels[label] for label in ("replica", "stage") if label in sample.labels), "")): (
            sample.value
        )
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def load(replica: str, **changes: Any) -> Load:
    return Load(**({"slots": 8, "running": 3, "waiting": 0, "step": 0.02, "roofline": 0.01, "steps": 9} | changes
                   | {"replica": replica}))  # fmt: skip


def test_each_replica_has_gauges_of_its_own() -> None:
    meter = Meter()
    meter.heard(load("one"))
    meter.heard(load("two", slots=4, running=1, step=0.04))
    values = samples(meter)
    assert values["stems_slots", "one"] == 8
    assert values["stems_slots_taken", "one"] == 3
    assert values["stems_slots", "two"] == 4
    assert values["stems_step_seconds", "two"] == 0.04
    assert values["stems_roofline_share", "one"] == pytest.approx(0.5)


def test_a_replica_that_reports_nothing_any_more_leaves() -> None:
    now = 0.0
    meter = Meter(now=lambda: now)
    meter.heard(load("gone"))
    now = FORGET_S
    meter.heard(load("here"))
    assert ("stems_slots", "gone") in samples(meter)
    now += 1
    left = {
        replica for name, replica in samples(meter) if name.startswith(("stems_slots", "stems_step", "stems_roof"))
    }
    assert left == {"here"}
    meter.heard(load("gone"))
    assert ("stems_slots", "gone") in samples(meter)


def test_no_slot_is_taken_while_no_job_runs() -> None:
    meter = Meter()
    meter.heard(load("one"))
    assert samples(meter, running=0)["stems_slots_taken", "one"] == 0


def test_stages_are_counted_where_they_happened_alone() -> None:
    meter = Meter()
    meter.ended("song", "done", 2, {"waiting": 1.5, "decoding": 4.0})
    meter.ended("song", "cancelled", 0, {})
    values = samples(meter)
    assert values["stems_job_stage_seconds_sum", "waiting"] == 1.5
    assert values["stems_job_stage_seconds_count", "decoding"] == 1
    assert ("stems_job_stage_seconds_count", "separating") not in values
    assert values["stems_job_attempts_sum", ""] == 2
    assert values["stems_job_attempts_count", ""] == 1
