"""The training loop: exact resume, atomic checkpoints, refusals, the same losses on several workers."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.errors import StemsError
from pipelines.training import checkpoints as checkpoint_files
from pipelines.training.average import WeightAverage
from pipelines.training.checkpoints import checkpoints
from pipelines.training.config import TrainingConfig
from pipelines.training.history import read_history
from pipelines.training.loop import TrainingResult, train
from pipelines.training.notice import Notice
from pipelines.training.on_ray import _on_gpus
from pipelines.training.recipe import Place, Recipe
from pipelines.training.sampler import rng, share
from pipelines.training.schedule import learning_rate
from pipelines.training.worker import Worker


class StoppedError(Exception):
    """Stands for a kill."""


class Sums(Recipe):
    """Learns to add up numbers, with dropout, a buffer that changes, and an optimizer with state."""

    def __init__(self, config: TrainingConfig, stop_at: int = -1, nan_at: Iterable[int] = (), dropout: float = 0.3):
        self.config, self.stop_at, self.nan_at = config, stop_at, set(nan_at)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(dropout), nn.Linear(8, 1))
        self.module.register_buffer("taken", torch.zeros(()))

    def prepare(self, place: Place) -> None:
        return

    def loss(self, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        if step == self.stop_at:
            raise StoppedError
        drawn = [rng(self.config.seed, step, index).standard_normal(4) for index in indices]
        numbers = torch.from_numpy(np.stack(drawn)).float()
        loss = (module(numbers) - numbers.sum(dim=1, keepdim=True)).square().mean()
        return loss * math.nan if step in self.nan_at else loss, {"mean": float(numbers.mean())}

    def after_step(self, step: int) -> None:
        self.module.get_buffer("taken").add_(1)

    def validate(self, module: nn.Module) -> dict[str, float]:
        return {"of_ones": float(module(torch.ones(1, 4))), "training": float(module.training)}

    def export(self, directory: Path) -> None:
        torch.save(self.module.state_dict(), directory / "weights.pt")


def settings(output: Path, **changes: Any) -> TrainingConfig:
    fields: dict[str, Any] = {"steps": 12, "batch": 4, "seed": 3, "learning_rate": 0.05, "log_every": 1}
    fields |= {"validate_every": 5, "checkpoint_every": 4, "tracking": "off"}
    return TrainingConfig(output=str(output), **(fields | changes))


def learn(config: TrainingConfig, **traits: Any) -> TrainingResult:
    return train(config, lambda: Sums(config, **traits))


def weights(result: TrainingResult) -> dict[str, Tensor]:
    return torch.load(result.directory / "weights.pt", weights_only=True)


def rows_without_time(result: TrainingResult) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.history]


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


def test_it_learns_and_reports(tmp_path: Path) -> None:
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


def test_killed_while_writing_a_checkpoint_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint_files.dcp.async_save

    def cut(state: dict[str, Any], checkpoint_id: Path, **options: Any) -> Any:
        if state["step"] == 8:
            checkpoint_id.mkdir(parents=True)
            (checkpoint_id / "__0_0.distcp").write_bytes(b"half of it")
            raise StoppedError
        return write(state, checkpoint_id=checkpoint_id, **options)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_files.dcp, "async_save", cut)
        with pytest.raises(StoppedError):
            learn(settings(tmp_path / "killed"))
    assert [step for step, _ in checkpoints(tmp_path / "killed")] == [4]
    assert list((tmp_path / "killed" / "checkpoints").glob(".unfinished-*"))
    resumed, whole = learn(settings(tmp_path / "killed")), learn(settings(tmp_path / "whole"))
    assert torch.equal(weights(resumed)["0.weight"], weights(whole)["0.weight"])
    assert not list((tmp_path / "killed" / "checkpoints").glob(".unfinished-*"))


def test_a_line_of_metrics_cut_short_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        learn(settings(tmp_path / "cut"), stop_at=6)
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    result = learn(settings(tmp_path / "cut"))
    assert rows_without_time(result) == rows_without_time(learn(settings(tmp_path / "whole")))
    assert all(json.loads(line) for line in (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines())


def test_a_step_with_a_loss_that_is_not_finite_is_skipped(tmp_path: Path) -> None:
    result = learn(settings(tmp_path), nan_at=(2, 3))
    assert weights(result)["taken"] == 10
    assert all(value.isfinite().all() for value in weights(result).values())
    assert [row["step"] for row in result.history if row.get("taken") == 0] == [3, 4]
    assert "loss" not in next(row for row in result.history if row.get("taken") == 0)


def test_a_step_with_a_gradient_that_is_not_finite_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = Sums.loss

    def steep(self: Sums, module: nn.Module, step: int, indices: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        value, metrics = loss(self, module, step, indices)
        # The root's slope at zero is infinite.
        return value + (value * 0).sqrt() if step == 2 else value, metrics

    monkeypatch.setattr(Sums, "loss", steep)
    result = learn(settings(tmp_path))
    assert weights(result)["taken"] == 11
    assert all(value.isfinite().all() for value in weights(result).values())


def test_ten_such_steps_in_a_row_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="learning_rate") as caught:
        learn(settings(tmp_path), nan_at=range(1, 12))
    assert caught.value.code == "diverged"
    assert read_history(tmp_path / "metrics.jsonl")[-1]["skipped"] == 10
    assert [step for step, _ in checkpoints(tmp_path)] == [4, 8]


def test_a_run_that_was_stopped_before_it_took_a_step_goes_on(tmp_path: Path) -> None:
    changes = {"checkpoint_every": 2}
    whole = learn(settings(tmp_path / "whole", **changes), nan_at=range(3))
    with pytest.raises(StoppedError):
        learn(settings(tmp_path / "stopped", **changes), nan_at=range(3), stop_at=3)
    resumed = learn(settings(tmp_path / "stopped", **changes), nan_at=range(3))
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert whole.final["skipped"] == resumed.final["skipped"] == 3


def test_fewer_workers_than_asked_for_save_more_often(tmp_path: Path) -> None:
    config = settings(tmp_path, steps=60, checkpoint_every=40, workers=2)
    place = Place(0, 1, torch.device("cpu"))
    with pytest.raises(StoppedError):
        Worker(config, lambda: Sums(config, stop_at=30), place, Notice()).run()
    assert [step for step, _ in checkpoints(tmp_path)] == [24, 28]


@pytest.mark.parametrize(("field", "value"), [("seed", 4), ("batch", 8), ("learning_rate", 0.1)])
def test_other_settings_are_refused_by_name(tmp_path: Path, field: str, value: float) -> None:
    learn(settings(tmp_path))
    with pytest.raises(StemsError, match=rf"{field}.*resume") as caught:
        learn(settings(tmp_path, **{field: value}))
    assert caught.value.field == field
    afresh = learn(settings(tmp_path, resume=False, **{field: value}))
    assert afresh.steps == 12
    assert weights(afresh)["taken"] == 12


def test_resume_true_wants_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StemsError, match="no checkpoint") as caught:
        learn(settings(tmp_path, resume=True))
    assert caught.value.field == "resume"


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        learn(settings(tmp_path), stop_at=6)
    (tmp_path / "checkpoints" / "step-4" / "__0_0.distcp").write_bytes(b"dust")
    with pytest.raises(StemsError, match="step-4") as caught:
        learn(settings(tmp_path))
    assert caught.value.code == "unreadable"


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


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Breaks(Sums):
        def after_step(self, step: int) -> None:
            if step == 6:
                self.module.get_parameter("2.bias").data.fill_(math.inf)

    config = settings(tmp_path)
    with pytest.raises(StemsError, match="not saved") as caught:
        train(config, lambda: Breaks(config))
    assert caught.value.code == "diverged"
    assert [step for step, _ in checkpoints(tmp_path)] == [4]


def test_asked_to_end_it_saves_first(tmp_path: Path) -> None:
    whole = learn(settings(tmp_path / "whole"))

    class Ended(Sums):
        def after_step(self, step: int) -> None:
            super().after_step(step)
            if step == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    config = settings(tmp_path / "ended")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(config, lambda: Ended(config))
    assert signal.getsignal(signal.SIGTERM) is before
    assert [step for step, _ in checkpoints(tmp_path / "ended")] == [4, 7]
    assert all(torch.equal(value, weights(learn(config))[name]) for name, value in weights(whole).items())


def test_two_ray_workers_learn_what_one_process_learns(tmp_path: Path, ray_local: object) -> None:
    alone = learn(settings(tmp_path / "alone"), dropout=0.0)
    config = settings(tmp_path / "together", workers=2)
    together = train(config, _recipe_maker(config))
    assert [row["step"] for row in together.history] == [row["step"] for row in alone.history]
    for ours, theirs in zip(together.history, alone.history, strict=True):
        for name in set(theirs) - {"seconds"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), (name, theirs["step"])
    torch.testing.assert_close(weights(together), weights(alone), rtol=1e-4, atol=1e-5)


class Complains(Sums):
    """Something is wrong on the second worker's machine alone."""

    def prepare(self, place: Place) -> None:
        with (Path(self.config.output) / "starts").open("a") as file:
            file.write(f"{place.rank}\n")
        if place.rank == 1:
            raise StemsError("This machine sees no stems.", "Mount them.", code="missing", field="stems")


def test_what_one_ray_worker_finds_wrong_is_said_and_not_tried_again(tmp_path: Path, ray_local: object) -> None:
    config = settings(tmp_path, workers=2)
    with pytest.raises(StemsError, match="sees no stems") as caught:
        train(config, _recipe_maker(config, Complains))
    assert (caught.value.code, caught.value.field) == ("missing", "stems")
    assert sorted((tmp_path / "starts").read_text().split()) in (["0", "1"], ["1"])


def test_too_few_gpus_are_not_made_up_for_by_processors(tmp_path: Path) -> None:
    config = settings(tmp_path, workers=4, min_workers=2)
    assert not _on_gpus(config, 0)
    assert _on_gpus(config, 2)
    with pytest.raises(StemsError, match="1 GPUs for 2 workers"):
        _on_gpus(config, 1)


@pytest.mark.parametrize("changes", [{"workers": 5}, {"workers": 2, "min_workers": 3}])
def test_workers_without_work_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(StemsError, match="min_workers") as caught:
        learn(settings(tmp_path, **changes))
    assert caught.value.field == "workers"


def _recipe_maker(config: TrainingConfig, kind: type[Sums] = Sums) -> Callable[[], Recipe]:
    # Workers cannot import this file: send the class itself.
    import sys

    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return lambda: kind(config, dropout=0.0)


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
