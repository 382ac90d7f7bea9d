"""Training where something goes wrong: killed, damaged, not finite, refused, with too few workers."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.sums import StoppedError, Sums, learn, rows_without_time, settings, weights
from torch import Tensor, nn

from models.errors import StemsError
from pipelines.training.config import TrainingConfig
from pipelines.training.loop import checkpoints as checkpoint_files
from pipelines.training.loop.checkpoints import checkpoints
from pipelines.training.loop.preemption import Notice
from pipelines.training.loop.recipe import Place, Recipe
from pipelines.training.loop.train import train
from pipelines.training.loop.worker import Worker
from pipelines.training.tracking.history import read_history


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


@pytest.mark.slow
def test_what_one_ray_worker_finds_wrong_is_said_and_not_tried_again(tmp_path: Path, ray_local: object) -> None:
    config = settings(tmp_path, workers=2)
    with pytest.raises(StemsError, match="sees no stems") as caught:
        train(config, _recipe_maker(config, Complains))
    assert (caught.value.code, caught.value.field) == ("missing", "stems")
    assert sorted((tmp_path / "starts").read_text().split()) in (["0", "1"], ["1"])


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
