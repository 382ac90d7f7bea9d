"""The MLflow store that runs are written to: opened, with its experiment, artifacts beside a SQLite file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from models.errors import StemsError

EXPERIMENT = "stems"
_SQLITE = "sqlite:///"


def open_store(tracking: str) -> tuple[Any, str]:
    """A client of the store at ``tracking``, and the id of its experiment; both are made where they are missing.

    With a SQLite file, artifacts land in ``artifacts/`` beside it.

    Raises:
        StemsError: nothing answers at that address, or it is none.
    """
    location = None
    if tracking.startswith(_SQLITE):
        location = (Path(tracking.removeprefix(_SQLITE)).absolute().parent / "artifacts").as_uri()
    try:
        client = client_of(tracking)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))
        return client, str(experiment.experiment_id)
    except Exception as error:  # each kind of store has errors of its own
        raise unreachable(tracking, error) from error


def client_of(tracking: str) -> Any:
    """A client that gives up within seconds, so that a server that is down holds nobody up for minutes."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    if tracking.startswith(_SQLITE):
        Path(tracking.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    from mlflow.tracking import MlflowClient  # seconds to import

    return MlflowClient(tracking_uri=tracking, registry_uri=tracking)


def unreachable(tracking: str, error: Exception) -> StemsError:
    """The error for a store that does not answer."""
    said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return StemsError(
        f"The tracking store '{tracking}' cannot be used: {said.rstrip('.')}.",
        "Check the address, or set tracking to off.",
        code="unreachable",
        field="tracking",
    )
