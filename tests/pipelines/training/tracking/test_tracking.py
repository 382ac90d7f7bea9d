"""What a person finds in MLflow, and what happens when it is not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from models.errors import StemsError
from models.files.digest import directory_digest
from pipelines.training.config import TrainingConfig
from pipelines.training.tracking.store import open_store
from pipelines.training.tracking.tracking import Tracker, record_model


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store, which takes seconds to make."""
    folder = tmp_path_factory.mktemp("store")
    open_store(f"sqlite:///{folder / 'mlflow.db'}")
    return folder


@pytest.fixture
def config(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingConfig:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    return settings(tmp_path, f"sqlite:///{store / 'mlflow.db'}")


def settings(folder: Path, tracking: str | None) -> TrainingConfig:
    (folder / "run").mkdir()
    return TrainingConfig(output=str(folder / "run"), tracking=tracking)


def run_of(config: TrainingConfig) -> Any:
    return MlflowClient(config.tracking).get_run((Path(config.output) / "mlflow-run").read_text())


def files_of(config: TrainingConfig, store: Path) -> dict[str, str]:
    folder = store / "artifacts" / run_of(config).info.run_id / "artifacts"
    return {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_a_run_holds_settings_facts_the_machines_load_and_files(
    config: TrainingConfig, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "step-5").mkdir()
    (tmp_path / "step-5" / "one.txt").write_text("la")
    tracker = Tracker(config)
    tracker.describe({"table_version": "7", "codec_bass": "abc"})
    tracker.log({"step": 5, "loss": 1.5})
    tracker.artifacts(tmp_path / "step-5", "samples/step-5")
    until = time.monotonic() + 20
    while not tracker._load.mlflow_logger.data and time.monotonic() < until:
        time.sleep(0.05)
    tracker.end(tmp_path / "model")
    data = run_of(config).data
    assert data.params["seed"] == "0"
    assert (data.tags["table_version"], data.tags["codec_bass"]) == ("7", "abc")
    assert data.metrics["loss"] == 1.5
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= set(data.metrics)
    assert files_of(config, store) == {"samples/step-5/one.txt": "la"}
    assert not (tmp_path / "mlruns").exists()


def test_a_finished_model_is_noted_with_its_digest(config: TrainingConfig, store: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "README.md", "model.safetensors"):
        (model / name).write_text(name)
    Tracker(config).end(model)
    record_model(config, model)
    assert run_of(config).data.tags["model_digest"] == directory_digest(model)
    assert set(files_of(config, store)) == {"model/config.json", "model/README.md"}


@pytest.mark.parametrize("tracking", ["off", "", None])
def test_without_tracking_nothing_is_written(tmp_path: Path, tracking: str | None) -> None:
    config = settings(tmp_path, tracking)
    tracker = Tracker(config)
    tracker.describe({"table_version": "7"})
    tracker.artifacts(tmp_path, "samples")
    tracker.log({"step": 5, "loss": 1.5})
    tracker.end(None)
    record_model(config, tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["run"]


@pytest.mark.parametrize("tracking", ["http://127.0.0.1:9", "nonsense://x", "sqlite:////proc/none/mlflow.db"])
def test_a_wrong_address_is_named_at_the_start(
    tmp_path: Path, tracking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StemsError) as caught:
        Tracker(settings(tmp_path, tracking))
    assert caught.value.field == "tracking"
    assert tracking in str(caught.value)


def test_a_store_that_goes_away_stops_nothing_and_gets_all_once_it_is_back(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise ConnectionError("no answer")

    tracker = Tracker(config)
    with monkeypatch.context() as down:
        for method in ("log_batch", "set_tag", "log_artifacts"):
            down.setattr(MlflowClient, method, gone)
        for step in (1, 2, 3):
            tracker.log({"step": step, "loss": float(step)})
            tracker.flush()
        tracker.describe({"table_version": "7"})
    assert len(caplog.records) == 1
    tracker.end(None)
    run = run_of(config)
    assert len(MlflowClient(config.tracking).get_metric_history(run.info.run_id, "loss")) == 3
    assert (run.data.tags["table_version"], run.info.status) == ("7", "FAILED")


def test_a_resumed_run_starts_even_when_the_store_is_gone(
    config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    Tracker(config).end(None)
    first = run_of(config).info.run_id

    def gone(*_: object, **__: object) -> None:
        raise ConnectionError("no answer")

    with monkeypatch.context() as down:
        for method in ("update_run", "log_batch", "get_run"):
            down.setattr(MlflowClient, method, gone)
        tracker = Tracker(config)
        tracker.log({"step": 1, "loss": 2.0})
        tracker.flush()
    tracker.end(None)
    assert tracker.run == first
    assert run_of(config).data.metrics["loss"] == 2.0


def test_a_run_that_the_store_has_lost_is_opened_anew(config: TrainingConfig) -> None:
    marker = Path(config.output) / "mlflow-run"
    marker.write_text("0" * 32)
    Tracker(config).end(None)
    assert marker.read_text() != "0" * 32
    assert run_of(config).info.status == "FAILED"
