"""`stems serve --model models:/stems@champion`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import s3fs
from helpers.s3 import Bucket
from helpers.tiny import tiny_assembly_directory
from mlflow.tracking import MlflowClient

from models.errors import StemsError
from models.files.digest import directory_digest
from serving.app import start
from serving.config import ServeConfig
from serving.workers.deployments import GeneratorReplica
from serving.workers.model_source import local_model, pin_model


class Registry:
    """A registry in which versions are put by hand, as `stems publish` would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tracking = folder, f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(self.tracking, registry_uri=self.tracking)
        self.client.create_registered_model("stems")

    def put(self, model: Path, alias: str, digest: str = "") -> str:
        tags = {"files_digest": digest or directory_digest(model)}
        version = self.client.create_model_version("stems", model.as_uri(), tags=tags).version
        self.client.set_registered_model_alias("stems", alias, version)
        return str(version)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    folder = tmp_path_factory.mktemp("registry")
    (folder / "here").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "here")
        return Registry(folder)


def test_an_alias_becomes_a_directory_that_is_fetched_once(
    registry: Registry, model_directory: Path, tmp_path: Path
) -> None:
    version = registry.put(model_directory, "champion")
    pinned = pin_model("models:/stems@champion", registry.tracking)
    assert pinned == f"models:/stems/{version}"
    cache = str(tmp_path / "cache")
    folder = local_model(pinned, registry.tracking, cache)
    assert directory_digest(folder) == directory_digest(model_directory)
    kept = (folder / "assembly.json").stat().st_ino
    again = local_model("models:/stems@champion", registry.tracking, cache)
    assert (again, (again / "assembly.json").stat().st_ino) == (folder, kept)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_moved_alias_is_another_directory_and_a_pinned_version_stays(
    registry: Registry, model_directory: Path, tmp_path: Path
) -> None:
    registry.put(model_directory, "moving")
    pinned = pin_model("models:/stems@moving", registry.tracking)
    first = local_model("models:/stems@moving", registry.tracking, str(tmp_path))
    registry.put(tiny_assembly_directory(tmp_path / "other", max_seconds=3.0), "moving")
    second = local_model("models:/stems@moving", registry.tracking, str(tmp_path))
    assert directory_digest(first) != directory_digest(second)
    assert local_model(pinned, registry.tracking, str(tmp_path)) == first


async def facts_digest(generator: GeneratorReplica) -> str:
    return (await generator.info()).digest


def test_the_generator_plays_a_published_model(
    registry: Registry, model_directory: Path, settings: ServeConfig, tmp_path: Path
) -> None:
    import asyncio

    registry.put(model_directory, "played")
    published = {"model": "models:/stems@played", "tracking": registry.tracking, "cache": str(tmp_path)}
    digests = [
        asyncio.run(facts_digest(GeneratorReplica(config)))
        for config in (settings, settings.model_copy(update=published))
    ]
    assert digests[0] == digests[1]


def test_a_model_on_s3_is_fetched_once_and_again_when_it_changes(
    s3: Bucket, model_directory: Path, tmp_path: Path
) -> None:
    store = s3fs.S3FileSystem()
    store.put(str(model_directory), f"{s3.uri}/model", recursive=True)
    first = local_model(f"{s3.uri}/model", "", str(tmp_path))
    assert directory_digest(first) == directory_digest(model_directory)
    assert local_model(f"{s3.uri}/model", "", str(tmp_path)) == first
    store.pipe_file(f"{s3.uri}/model/README.md", b"other words")
    store.invalidate_cache()
    assert local_model(f"{s3.uri}/model", "", str(tmp_path)) != first
    with pytest.raises(StemsError):
        start(ServeConfig(model=f"{s3.uri}/nothing", cache=str(tmp_path)))


@pytest.mark.parametrize("model", ["models:/stems@nobody", "models:/banjo@champion", "models:/stems/99", "models:/x"])
def test_what_is_not_published_is_named_before_ray_starts(registry: Registry, model: str, tmp_path: Path) -> None:
    with pytest.raises(StemsError) as caught:
        start(ServeConfig(model=model, tracking=registry.tracking, cache=str(tmp_path)))
    assert caught.value.field == "model"
    assert model in caught.value.message


def test_a_model_that_came_damaged_is_refused_and_leaves_nothing(
    registry: Registry, model_directory: Path, tmp_path: Path
) -> None:
    registry.put(model_directory, "damaged", digest="0123456789ab")
    with pytest.raises(StemsError, match="not the model that was published"):
        local_model("models:/stems@damaged", registry.tracking, str(tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_wrong_tracking_address_is_named(tmp_path: Path) -> None:
    with pytest.raises(StemsError) as caught:
        pin_model("models:/stems@champion", f"sqlite:///{tmp_path / 'none.db'}")
    assert caught.value.field == "tracking"
    assert not (tmp_path / "none.db").exists()


def test_a_model_whose_files_were_moved_away_is_named_by_where_they_lay(
    registry: Registry, model_directory: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(model_directory, moved)
    registry.put(moved, "moved")
    shutil.rmtree(moved)
    with pytest.raises(StemsError, match="cannot be fetched from") as caught:
        local_model("models:/stems@moved", registry.tracking, str(tmp_path / "cache"))
    assert (str(moved) in caught.value.message, caught.value.field) == (True, "model")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(registry: Registry, model_directory: Path, tmp_path: Path) -> None:
    registry.put(model_directory, "champion")
    (tmp_path / "file").touch()
    for cache in (str(tmp_path / "file" / "cache"), "~nobody-of-this-name/cache", "/proc/cache"):
        with pytest.raises(StemsError, match="--cache") as caught:
            local_model("models:/stems@champion", registry.tracking, cache)
        assert caught.value.field == "cache"
