"""Several workers learn what one learns, however the model and the batch are spread over them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.workers import gradients, run_workers

from pipelines.training.lm.config import LMTraining
from pipelines.training.loop.checkpoints import checkpoints
from pipelines.training.loop.unshard import finished_recipe
from pipelines.training.tracking.history import read_history


def settings(data: Path, output: Path, **changes: Any) -> LMTraining:
    fields: dict[str, Any] = {"steps": 9, "batch": 5, "learning_rate": 3e-3, "warmup_steps": 2, "log_every": 1}
    fields |= {"validate_every": 100, "validation_examples": 1, "tracking": "off", "precision": "float32"}
    fields |= {"checkpoint_every": 100, "average_every": 1}
    fields |= {"table": str(data / "tokens"), "codecs": str(data / "codecs"), "output": str(output)}
    return LMTraining(**(fields | changes))


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run_workers(settings(data, tmp_path_factory.mktemp("alone")), 1, gradients)


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
@pytest.mark.parametrize("changes", [{}, {"accumulate": 2, "recompute": True}])
def test_one_step_has_the_same_loss_and_gradients_on_two_workers(
    data: Path, tmp_path: Path, alone: Any, sharding: str, changes: dict[str, Any]
) -> None:
    # Five items: one worker has three of them, the other two, and either takes them in two parts.
    metrics, grads = run_workers(settings(data, tmp_path, sharding=sharding, **changes), 2, gradients)
    expected, expected_grads = alone
    assert metrics == pytest.approx(expected, abs=1e-5)
    assert grads.keys() == expected_grads.keys()
    assert any(grad.abs().max() > 1e-3 for grad in expected_grads.values())
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected_grads[name], rtol=0, atol=1e-5, msg=name)


def test_spread_out_layers_compute_in_bfloat16(data: Path, tmp_path: Path, alone: Any) -> None:
    config = settings(data, tmp_path, sharding="fsdp", precision="bfloat16")
    metrics, grads = run_workers(config, 2, gradients)
    expected, expected_grads = alone
    assert metrics != pytest.approx(expected, abs=1e-5)
    assert metrics == pytest.approx(expected, abs=0.03)
    assert all(grad.dtype == torch.float32 for grad in grads.values())
    ours, theirs = (torch.cat([g.flatten() for _, g in sorted(all_of.items())]) for all_of in (grads, expected_grads))
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.99


def losses(output: Path) -> dict[int, float]:
    rows = [row for row in read_history(output / "metrics.jsonl") if "loss" in row]
    assert len(rows) == len({row["step"] for row in rows})
    return {row["step"]: row["loss"] for row in rows}


def weights(config: LMTraining) -> dict[str, torch.Tensor]:
    from functools import partial

    from helpers.workers import SmallLM

    step, path = checkpoints(Path(config.output))[-1]
    assert step == config.steps
    return finished_recipe(partial(SmallLM, config), path, averaged=True).module.state_dict()


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_from_two_workers_to_one_and_back_each_example_is_seen_once(
    data: Path, tmp_path: Path, sharding: str
) -> None:
    fixed = settings(data, tmp_path / "fixed", sharding=sharding)
    run_workers(fixed, 1)
    config = settings(data, tmp_path / "elastic", sharding=sharding)
    run_workers(config, 2, stop_after=3)
    run_workers(config, 1, stop_after=3)
    run_workers(config, 2)
    seen: Counter[tuple[int, int]] = Counter()
    for file in Path(config.output).glob("seen-*.jsonl"):
        for line in file.read_text().splitlines():
            step, indices = json.loads(line)
            seen.update((step, index) for index in indices)
    assert seen == Counter((step, index) for step in range(9) for index in range(5))
    assert losses(Path(config.output)) == pytest.approx(losses(Path(fixed.output)), abs=1e-5)


@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_a_killed_worker_leaves_a_run_that_ends_bit_for_bit_as_if_nothing_had_been(
    data: Path, tmp_path: Path, sharding: str
) -> None:
    whole = settings(data, tmp_path / "whole", sharding=sharding)
    run_workers(whole, 2)
    config = settings(data, tmp_path / "killed", sharding=sharding, checkpoint_every=1)
    run_workers(config, 2, stop_after=5, killed=1)
    before = [step for step, _ in checkpoints(tmp_path / "killed")]
    assert before
    assert before[-1] < 5
    run_workers(config, 2, stop_after=3, killed=0)
    run_workers(config, 2)
    assert losses(Path(config.output)) == losses(Path(whole.output))
    expected = weights(whole)
    assert all(torch.equal(value, expected[name]) for name, value in weights(config).items())
