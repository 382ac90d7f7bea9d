"""`stems publish`: a whole model becomes a version of a registered model, and an alias points to it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from models.errors import StemsError
from models.files.digest import directory_digest
from models.files.storage import bytes_in, storage_errors
from models.song.assembly import Assembly
from pipelines.catalog.storage.files import is_remote, local_path
from pipelines.training.tracking.publish_config import PublishConfig
from pipelines.training.tracking.store import open_store, unreachable
from pipelines.training.tracking.tracking import MODEL_DIGEST

FILES_DIGEST = "files_digest"
"""Tag of a version: the digest of the directory's files, which shows whether a download is complete."""

_FROM_RUN = ("table", "table_version")


@dataclass(frozen=True)
class Published:
    """A registered version: its address, and the model digest that a service reports."""

    uri: str
    version: str
    model_digest: str
    run: str

    def summary(self) -> Table:
        """The same for a terminal."""
        table = Table("model", "version", "digest", "run", title="Published")
        table.add_row(self.uri, self.version, self.model_digest, self.run)
        return table


def publish(config: PublishConfig) -> Published:
    """Upload a model to its training run, register it as a version, and move the alias there.

    A model that is already a version is not uploaded again: the alias moves to that version. If killed at any moment,
    the alias still points to a complete model, and the next call starts again.

    Raises:
        StemsError: the directory is not a whole model, or the store or the run does not exist.
    """
    directory = Path(config.model)
    model_digest = Assembly.load(directory).digest  # refuses models that cannot be served
    files_digest = directory_digest(directory)
    client, experiment = open_store(config.tracking)
    try:
        version = _known_version(client, config.name, files_digest)
        if version is None:
            run = _training_run(client, experiment, config, directory)
            tags = {MODEL_DIGEST: model_digest, FILES_DIGEST: files_digest, **_facts(run)}
            version = _register(client, config.name, run, directory, tags)
        client.set_registered_model_alias(config.name, config.alias, version.version)
    except StemsError:
        raise
    except Exception as error:
        raise unreachable(config.tracking, error) from error
    uri = f"models:/{config.name}@{config.alias}"
    return Published(uri, str(version.version), model_digest, str(version.run_id))


def _known_version(client: Any, name: str, files_digest: str) -> Any:
    """The version with exactly these files, or None. Creates the registered model if missing."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    return next((version for version in versions if version.tags.get(FILES_DIGEST) == files_digest), None)


def _training_run(client: Any, experiment: str, config: PublishConfig, directory: Path) -> Any:
    """The run that trained the language model; a new run for a model from elsewhere."""
    from mlflow.exceptions import MlflowException

    if config.run:
        try:
            return client.get_run(config.run)
        except MlflowException as error:
            raise StemsError(
                f"There is no run '{config.run}' in {config.tracking}.",
                "Give the id in the file mlflow-run of a training's output.",
                code="missing",
                field="run",
            ) from error
    digest = directory_digest(directory / "lm")
    found = client.search_runs([experiment], f"tags.{MODEL_DIGEST} = '{digest}'", max_results=1)
    if found:
        return found[0]
    run = client.create_run(experiment, run_name=f"publish-{config.name}")
    client.set_terminated(run.info.run_id)
    return run


def _facts(run: Any) -> dict[str, str]:
    """The model's provenance, if its run records it."""
    said = run.data.params | run.data.tags
    return {name: said[name] for name in _FROM_RUN if name in said}


def _register(client: Any, name: str, run: Any, directory: Path, tags: dict[str, str]) -> Any:
    """Upload first, then register, so that a version is always complete."""
    place = f"published/{tags[FILES_DIGEST]}"
    source = f"{run.info.artifact_uri}/{place}"
    store = local_path(source) if not is_remote(source) else None
    try:
        with storage_errors(store or source, bytes_in(directory), "tracking"):
            client.log_artifacts(run.info.run_id, str(directory), place)
    except StemsError:
        if store is not None:
            shutil.rmtree(store, ignore_errors=True)
        raise
    return client.create_model_version(name, source, run.info.run_id, tags=tags)
