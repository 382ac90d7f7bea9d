"""The training loop: exact resume, atomic checkpoints, refusals, the same losses on several workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from helpers.sums import StoppedError, Sums, learn, rows_without_time, settings, weights
from torch import Tensor, nn

from pipelines.training.data.sampler import rng, share
from pipelines.training.loop.average import WeightAverage
from pipelines.training.loop.checkpoints import checkpoints
from pipelines.training.loop.recipe import Recipe
from pipelines.training.loop.schedule import learning_rate
from pipelines.training.loop.train import train
from pipelines.training.tracking.history import read_history


@pytest.mark.parametrize("stop_at", [0, 3, 6, 11])
def test_a_resumed_run_ends_bit_for_bit_as_one_that_was_not_stopped(tmp_path: Path, stop_at: int) -> None:
    whole = learn(settings(tmp_path / "whole"))
    with pytest.raises(StoppedError):
        learn(settings(tmp_path / "stopped"), stop_at=stop_at)
    resumed = learn(settings(tmp_path / "stopped"))
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert rows_without_time(whole) == rows_without_time(resumed)
    assert weights(whole)["taken"] == 12


def test_a_training_learns_and_writes_its_history(tmp_path: Path) -> None:
    result = learn(settings(tmp_path, steps=150, log_every=50), dropout=0.0)
    assert result.final["loss"] < 0.1
    assert result.final["valid/of_ones"] == pytest.approx(4, abs=0.5)
    assert result.steps == 150
    assert result.history[0]["step"] == 0
    assert "valid/of_ones" in result.history[0]
    assert result.history[0]["valid/training"] == 0
    assert [step for step, _ in checkpoints(tmp_path)] == [148, 150]


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first = learn(settings(tmp_path))

    def refuse() -> Recipe:
        raise AssertionError("built a recipe")

    assert train(settings(tmp_path), refuse) == first


def test_a_lost_export_is_made_again_without_training(tmp_path: Path) -> None:
    before = weights(learn(settings(tmp_path)))
    (tmp_path / "result.json").unlink()
    again = learn(settings(tmp_path), nan_at=range(12))
    assert torch.equal(weights(again)["0.weight"], before["0.weight"])


def test_more_steps_continue_a_finished_run(tmp_path: Path) -> None:
    learn(settings(tmp_path))
    result = learn(settings(tmp_path, steps=20), nan_at=range(12))
    assert result.steps == 20
    assert weights(result)["taken"] == 20


def test_the_callers_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    learn(settings(tmp_path))
    assert torch.equal(torch.rand(1), expected)


def test_learning_rate_rises_then_falls_to_zero(tmp_path: Path) -> None:
    config = settings(tmp_path, steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
    assert max(rates) == pytest.approx(1.0)


def test_draws_depend_on_seed_step_and_index_alone() -> None:
    assert rng(1, 2, 3).random() == rng(1, 2, 3).random()
    draws = {rng(*place).random() for place in [(1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3), (3, 2, 1)]}
    assert len(draws) == 5
    assert sorted([*share(7, 0, 2), *share(7, 1, 2)]) == list(range(7))


def test_tracking_keeps_one_run_over_a_resume(tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    with pytest.raises(StoppedError):
        learn(settings(tmp_path / "run", tracking=store), stop_at=6)
    result = learn(settings(tmp_path / "run", tracking=store))
    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert len(runs) == 1
    assert runs[0].info.status == "FINISHED"
    assert runs[0].data.params["seed"] == "3"
    assert runs[0].data.tags["model"] == str(result.directory)
    assert runs[0].data.metrics["loss"] == pytest.approx(result.final["loss"])


def test_parts_of_a_batch_make_the_same_step(tmp_path: Path) -> None:
    whole = learn(settings(tmp_path / "whole", batch=5), dropout=0.0)
    parted = learn(settings(tmp_path / "parted", batch=5, accumulate=2), dropout=0.0)
    for ours, theirs in zip(rows_without_time(parted), rows_without_time(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_the_average_of_the_weights_is_what_is_validated_and_exported(tmp_path: Path) -> None:
    last = weights(learn(settings(tmp_path / "last"), dropout=0.0))
    averaged = learn(settings(tmp_path / "averaged", average_decay=0.9, average_every=2), dropout=0.0)
    ours = weights(averaged)
    assert not torch.allclose(ours["0.weight"], last["0.weight"])
    module = Sums(settings(tmp_path)).module
    module.load_state_dict(ours)
    assert averaged.final["valid/of_ones"] == pytest.approx(module.eval()(torch.ones(1, 4)).item(), rel=1e-5)
    # The loop goes on with the weights themselves.
    losses = [row["loss"] for row in averaged.history if "loss" in row]
    assert losses == [row["loss"] for row in read_history(tmp_path / "last" / "metrics.jsonl") if "loss" in row]


def test_the_average_follows_its_formula() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module, decay=0.5)
    expected = module.weight.item()
    for number, value in enumerate([1.0, 5.0, -3.0, 2.0, 2.0, 7.0, 1.0, 4.0, 4.0]):
        nn.init.constant_(module.weight, value)
        average.update(number)
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    assert float(average.state["weight"]) == pytest.approx(expected)
    with average.in_place():
        assert module.weight.item() == pytest.approx(expected)
    assert module.weight.item() == 4.0


def test_a_resumed_run_has_the_same_average(tmp_path: Path) -> None:
    changes = {"average_decay": 0.9, "average_every": 3}
    whole = learn(settings(tmp_path / "whole", **changes))
    with pytest.raises(StoppedError):
        learn(settings(tmp_path / "stopped", **changes), stop_at=7)
    resumed = learn(settings(tmp_path / "stopped", **changes))
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())


def test_samples_are_made_by_the_averaged_weights(tmp_path: Path) -> None:
    class Speaks(Sums):
        def sample(self, directory: Path) -> None:
            assert not self.module.training
            torch.save(self.module.state_dict(), directory / "weights.pt")

    config = settings(tmp_path, sample_every=6, average_decay=0.9)
    result = train(config, lambda: Speaks(config))
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["step-12", "step-6"]
    last = torch.load(tmp_path / "samples" / "step-12" / "weights.pt", weights_only=True)
    assert all(torch.equal(value, last[name]) for name, value in weights(result).items())


def test_products_are_computed_in_the_precision_asked_for(tmp_path: Path) -> None:
    class Watch(Sums):
        def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
            self.seen = module(torch.ones(1, 4)).dtype
            return super().loss(module, step, indices)

    seen = {}
    for precision in ("float32", "bfloat16"):
        config = settings(tmp_path / precision, precision=precision, steps=1)
        recipes: list[Watch] = []
        train(config, lambda config=config, recipes=recipes: recipes.append(Watch(config)) or recipes[0])  # type: ignore[misc]
        seen[precision] = (recipes[0].seen, next(recipes[0].module.parameters()).dtype)
    assert seen == {"float32": (torch.float32, torch.float32), "bfloat16": (torch.bfloat16, torch.float32)}
