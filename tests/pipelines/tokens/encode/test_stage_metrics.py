"""What Prometheus reads from a node while a job runs."""

from __future__ import annotations

import time
from typing import Any
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from pipelines.tokens.encode.stage_metrics import StageMetrics

STAGE = "tested here alone"


def _exported() -> dict[tuple[str, str, str], float]:
    """Values that this node exports, by name, stage and outcome."""
    import ray

    node = ray.nodes()[0]
    with urlopen(f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels["stage"], sample.labels.get("outcome", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("ray_stems_prepare_") and not sample.name.endswith("_bucket")
        if sample.labels["stage"] == STAGE
    }


def test_a_worker_s_songs_audio_and_time_are_exported(ray_local: Any) -> None:
    import ray

    class Worker:
        def work(self) -> None:
            metrics = StageMetrics()
            metrics.add(STAGE, "ok", 30.0, 2.0)
            metrics.add(STAGE, "ok", 12.0, 2.0)
            metrics.add(STAGE, "failed:RuntimeError", 0.0, 2.0)

    worker = ray.remote(num_cpus=0)(Worker).remote()
    ray.get(worker.work.remote())
    until = time.monotonic() + 60  # workers report every ten seconds
    while len(found := _exported()) < 5 and time.monotonic() < until:
        time.sleep(0.5)
    found.pop(("ray_stems_prepare_seconds_sum", STAGE, ""))  # Ray guesses it from the buckets
    assert found == {
        ("ray_stems_prepare_songs_total", STAGE, "ok"): 2.0,
        ("ray_stems_prepare_songs_total", STAGE, "failed:RuntimeError"): 1.0,
        ("ray_stems_prepare_audio_seconds_total", STAGE, ""): 42.0,
        ("ray_stems_prepare_seconds_count", STAGE, ""): 3.0,
    }


def test_outside_a_worker_counting_is_harmless() -> None:
    StageMetrics().add("encode", "ok", 1.0, 0.0)
