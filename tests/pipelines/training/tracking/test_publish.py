"""`stems publish`, and what MLflow gives back."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.small_disk import fill, small_disk
from helpers.tiny import tiny_assembly_directory, tiny_lm
from mlflow.artifacts import download_artifacts
from mlflow.tracking import MlflowClient

import cli
from models.errors import StemsError
from models.files.digest import directory_digest
from models.song.assembly import Assembly
from pipelines.training.config import TrainingConfig
from pipelines.training.tracking.publish import Published, publish
from pipelines.training.tracking.publish_config import PublishConfig
from pipelines.training.tracking.store import open_store
from pipelines.training.tracking.tracking import Tracker, record_model


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> str:
    address = f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"
    open_store(address)
    return address


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_assembly_directory(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def training(tracking: str, model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of the run that trained the language model."""
    config = TrainingConfig(output=str(tmp_path_factory.mktemp("run")), tracking=tracking)
    tracker = Tracker(config)
    tracker.describe({"table": "tokens", "table_version": "7"})
    tracker.end(model / "lm")
    record_model(config, model / "lm")
    return tracker.run


@pytest.fixture(scope="module")
def published(tracking: str, model: Path, training: str) -> Published:
    return publish(PublishConfig(model=str(model), tracking=tracking))


def files(directory: Path) -> dict[str, bytes]:
    return {f.relative_to(directory).as_posix(): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


def test_the_registry_gives_back_the_directory_bit_for_bit(
    published: Published, tracking: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking)
    assert published.uri == "models:/stems@champion"
    assert files(Path(download_artifacts(published.uri))) == files(model)


def test_a_version_knows_its_run_its_table_and_its_digests(
    published: Published, tracking: str, model: Path, training: str
) -> None:
    version = MlflowClient(tracking, registry_uri=tracking).get_model_version_by_alias("stems", "champion")
    assert version.run_id == training
    assert (version.tags["table"], version.tags["table_version"]) == ("tokens", "7")
    assert version.tags["model_digest"] == Assembly.load(model).digest == published.model_digest
    assert version.tags["files_digest"] == directory_digest(model)


def test_another_model_is_a_new_version_and_the_alias_moves_there_and_back(
    published: Published, tracking: str, model: Path, tmp_path: Path
) -> None:
    other = tiny_assembly_directory(tmp_path / "other")
    tiny_lm(segment_frames=70).save(other / "lm")
    second = publish(PublishConfig(model=str(other), tracking=tracking))
    assert int(second.version) == int(published.version) + 1
    assert second.run != published.run
    client = MlflowClient(tracking, registry_uri=tracking)
    assert str(client.get_model_version_by_alias("stems", "champion").version) == second.version
    assert publish(PublishConfig(model=str(model), tracking=tracking)) == published
    assert str(client.get_model_version_by_alias("stems", "champion").version) == published.version


def test_what_could_not_be_served_is_not_published(
    tracking: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["publish", "--model", str(tmp_path), "--tracking", tracking]) == 2
    assert "assembly.json" in capsys.readouterr().err


def test_an_unknown_run_is_named(tracking: str, tmp_path: Path) -> None:
    other = tiny_assembly_directory(tmp_path / "other", max_seconds=3.0)
    with pytest.raises(StemsError, match="no run 'abc'"):
        publish(PublishConfig(model=str(other), tracking=tracking, run="abc"))


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V20"])
def test_an_alias_that_mlflow_keeps_is_refused_at_once(alias: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["publish", "--model", "nowhere", "--alias", alias]) == 2
    said = capsys.readouterr().err
    assert f"--alias {alias}: MLflow reserves this alias" in said
    assert said.count("\n") == 1


def test_a_store_whose_disk_is_full_keeps_no_half_of_a_model(model: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "6m") as disk:
        there = f"sqlite:///{disk}/mlflow.db"
        open_store(there)
        ballast = fill(disk, but=400_000)
        with pytest.raises(StemsError, match=r"is full: about .* are needed"):
            publish(PublishConfig(model=str(model), tracking=there))
        assert not list(disk.rglob("*.safetensors"))
        ballast.unlink()
        assert publish(PublishConfig(model=str(model), tracking=there)).version == "1"
