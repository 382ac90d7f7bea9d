"""Fetch the model to serve: a directory, S3, or MLflow's registry."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import fsspec

from models.errors import StemsError, first_line
from models.files.digest import directory_digest
from models.files.partial import clean_up, hidden
from models.files.storage import storage_errors

REGISTERED = "models:/"

_SQLITE = "sqlite:///"
_FILES_DIGEST = "files_digest"


def pin_model(model: str, tracking: str) -> str:
    """Pin the model that every replica loads: an alias becomes its present version.

    Copies that start later, on other machines, then hold the same model though the alias may have moved.

    Raises:
        StemsError: the registry, the model, its alias or its version is not there.
    """
    if not model.startswith(REGISTERED):
        return model
    version = _find_version(_client(tracking), model, tracking)
    return f"{REGISTERED}{version.name}/{version.version}"


def local_model(model: str, tracking: str, cache: str) -> Path:
    """Return a model's directory; remote models are downloaded to ``cache``, completely or not at all.

    Raises:
        StemsError: as :func:`pin_model`, or what came is not what was published.
    """
    if "://" in model:
        return _from_store(model, _cache_folder(cache))
    if not model.startswith(REGISTERED):
        return Path(model)
    client = _client(tracking)
    version = _find_version(client, model, tracking)
    digest = version.tags.get(_FILES_DIGEST, "")
    folder = _cache_folder(cache) / f"{version.name}-{version.version}-{digest}"
    if not folder.is_dir():
        with storage_errors(folder.parent, field="cache"):
            _fetch(client.get_model_version_download_uri(version.name, version.version), tracking, folder, digest)
    return folder


def absolute_address(tracking: str) -> str:
    """The same address for processes that run in another directory."""
    if not tracking.startswith(_SQLITE):
        return tracking
    return f"{_SQLITE}{absolute_path(tracking.removeprefix(_SQLITE))}"


def absolute_path(path: str) -> str:
    """The same for processes that run in another directory: addresses stay as they are, and ``~`` is this user's."""
    if "://" in path or path.startswith(REGISTERED):
        return path
    return str(Path(path).expanduser().absolute())


def _from_store(model: str, cache: Path) -> Path:
    """Download a model directory from S3; its copy is named by a hash of the listing."""
    try:
        store, root = fsspec.core.url_to_fs(model)
        found = store.find(root, detail=True)
    except (OSError, ValueError, ImportError) as error:
        raise StemsError(
            f"'{model}' cannot be read: {error}.", "Check the address.", code="unreachable", field="model"
        ) from error
    marks = [(name, about["size"], str(about.get("ETag", about.get("mtime")))) for name, about in found.items()]
    folder = cache / f"{Path(root).name}-{hashlib.sha256(repr(sorted(marks)).encode()).hexdigest()[:16]}"
    if not folder.is_dir() and marks:
        with storage_errors(cache, sum(about["size"] or 0 for about in found.values()), "cache"):
            partial = _partial(folder)
            try:
                for name in found:
                    target = partial / name.removeprefix(root).lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    store.get_file(name, str(target))
                _settle(partial, folder)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return folder


def _client(tracking: str) -> Any:
    if tracking.startswith(_SQLITE) and not Path(tracking.removeprefix(_SQLITE)).is_file():
        raise _unreachable(tracking, "there is no such file")  # it would be made, and be empty
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    from mlflow.tracking import MlflowClient  # seconds to import

    try:
        return MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    except Exception as error:  # each kind of store has errors of its own
        raise _unreachable(tracking, error) from error


def _find_version(client: Any, model: str, tracking: str) -> Any:
    """The version that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` names."""
    from mlflow.exceptions import MlflowException

    place = model.removeprefix(REGISTERED)
    name, _, alias = place.partition("@")
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        name, _, number = place.partition("/")
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _unreachable(tracking, error) from error
        raise StemsError(
            f"There is no model '{model}' in {tracking}.",
            "Publish it with `stems publish`, and name it models:/NAME@ALIAS or models:/NAME/VERSION.",
            code="missing",
            field="model",
        ) from error
    except Exception as error:
        raise _unreachable(tracking, error) from error


def _fetch(source: str, tracking: str, folder: Path, digest: str) -> None:
    import mlflow

    partial = _partial(folder)
    try:
        try:
            came = mlflow.artifacts.download_artifacts(
                artifact_uri=source, dst_path=str(partial), tracking_uri=tracking
            )
        except Exception as error:  # each kind of store has errors of its own
            raise StemsError(
                f"The files of the registered model cannot be fetched from '{source}': {first_line(error)}.",
                "Put them back there, or publish the model again.",
                code="missing",
                field="model",
            ) from error
        found = Path(came)
        if digest and directory_digest(found) != digest:
            raise StemsError(
                f"What came from '{source}' is not the model that was published there.",
                "Publish it again.",
                code="mismatch",
                field="model",
            )
        _settle(found, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(folder: Path) -> Path:
    """An empty directory beside the final one, for a download in progress."""
    try:
        clean_up(folder)
        partial = hidden(folder)
        partial.mkdir(parents=True)
    except OSError as error:
        raise _no_cache(folder.parent, error.strerror or str(error)) from error
    return partial


def _cache_folder(cache: str) -> Path:
    try:
        return Path(cache).expanduser()
    except RuntimeError as error:  # a user without a home
        raise _no_cache(Path(cache), "there is no home directory") from error


def _no_cache(cache: Path, why: str) -> StemsError:
    return StemsError(
        f"The folder '{cache}', where fetched models are kept, cannot be written: {why}.",
        "Name another one with --cache.",
        code="cache",
        field="cache",
    )


def _settle(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another copy was quicker
            raise


def _unreachable(tracking: str, error: object) -> StemsError:
    said = first_line(error) if isinstance(error, BaseException) else str(error)
    return StemsError(
        f"The model registry at '{tracking}' cannot be used: {said.rstrip('.')}.",
        "Check the address.",
        code="unreachable",
        field="tracking",
    )
