"""Open the MLflow store of runs, with its experiment; for a SQLite file, artifacts are beside it."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from models.errors import StemsError, first_line

EXPERIMENT = "stems"
_SQLITE = "sqlite:///"


def open_store(tracking: str) -> tuple[Any, str]:
    """A client of the store at ``tracking``, and the id of its experiment; both are created if missing.

    With a SQLite file, artifacts land in ``artifacts/`` beside it.

    Raises:
        StemsError: the store does not answer, or the address is invalid.
    """
    location = None
    if tracking.startswith(_SQLITE):
        location = (Path(tracking.removeprefix(_SQLITE)).absolute().parent / "artifacts").as_uri()
    try:
        tracking.encode()  # invalid text would fail deep inside MLflow
        if tracking.startswith(_SQLITE):
            _check_database(Path(tracking.removeprefix(_SQLITE)))
        client = client_of(tracking)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return client, str(client.create_experiment(EXPERIMENT, artifact_location=location))
        return client, str(experiment.experiment_id)
    except Exception as error:  # each kind of store has errors of its own
        raise unreachable(tracking, error) from error


def _check_database(file: Path) -> None:
    """Raise at once if a file cannot be a SQLite database: MLflow would retry for a minute, and print each try."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.is_file():
        raise ValueError(f"'{file}' is not a file")
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version")


def client_of(tracking: str) -> Any:
    """A client that gives up within seconds if the server is down."""
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    if tracking.startswith(_SQLITE):
        Path(tracking.removeprefix(_SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    from mlflow.tracking import MlflowClient  # seconds to import

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # it logs the creation of a database at length

    return MlflowClient(tracking_uri=tracking, registry_uri=tracking)


def unreachable(tracking: str, error: Exception) -> StemsError:
    """The error for a store that does not answer."""
    reason = first_line(error)
    return StemsError(
        f"The tracking store '{tracking}' cannot be used: {reason}.",
        "Check the address, or set tracking to off.",
        code="unreachable",
        field="tracking",
    )
