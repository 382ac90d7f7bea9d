"""The run in MLflow: settings, metrics, the machine's load, samples, and the model's digest.

Rows are buffered and sent together: a store on SQLite takes milliseconds for each call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from models.files.digest import directory_digest
from pipelines.training.config import TrainingConfig
from pipelines.training.tracking.history import Row
from pipelines.training.tracking.store import client_of, open_store

RUN_FILE = "mlflow-run"
MODEL_DIGEST = "model_digest"

_MAX_METRICS = 1000
_MAX_TAG = 5000

log = logging.getLogger(__name__)


def create_store(tracking: str) -> None:
    """Create a tracking store and its experiment before trainings start together, which avoids a race."""
    open_store(tracking)


def check_store(config: TrainingConfig) -> None:
    """Refuse an unusable address of a new run before workers start; a resumed run may wait for its store."""
    if config.tracking and config.tracking != "off" and not (Path(config.output) / RUN_FILE).exists():
        open_store(config.tracking)


class Tracker:
    """Writes one training run to an MLflow store; does nothing where ``tracking`` is off.

    A resumed training continues its MLflow run, whose id is kept in ``<output>/mlflow-run``. Once there is a run, a
    store that does not answer stops nothing: unsent data stays in memory and is sent with a later flush, and
    ``metrics.jsonl`` has the metrics in any case.

    Raises:
        StemsError: a new run cannot be opened, because the store does not answer.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.client: Any = None
        self._metrics: list[Any] = []
        self._calls: list[Callable[[], object]] = []
        self._load: Any = None
        self._silent = self._over = False
        if config.tracking and config.tracking != "off":
            self._tracking = config.tracking
            self.run = self._open(config)
            self._watch_machine()

    def log(self, row: Row) -> None:
        """Record one row of metrics."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._metrics += [
            Metric(name, float(value), now, int(row["step"]))
            for name, value in row.items()
            if name != "step" and isinstance(value, (int, float))
        ]

    def describe(self, facts: Mapping[str, str]) -> None:
        """Tag the run with its provenance: the table's version, the digests of models."""
        for name, value in facts.items():
            self._later(partial(self._tag, name, str(value)[:_MAX_TAG]))
        self.flush()

    def artifacts(self, directory: Path, place: str) -> None:
        """Upload the files of a directory, such as samples, as the run's artifacts under ``place``."""
        self._later(lambda: directory.is_dir() and self.client.log_artifacts(self.run, str(directory), place))
        self.flush()

    def flush(self) -> None:
        """Send the recorded data; the rest waits for the next flush after a failure."""
        if self.client is None:
            return
        try:
            while self._metrics:
                self.client.log_batch(self.run, metrics=self._metrics[:_MAX_METRICS])
                del self._metrics[:_MAX_METRICS]
            while self._calls:
                self._calls[0]()
                del self._calls[0]
        except Exception as error:  # a lost connection or a full disk must not stop the training
            self._lost(error)
        else:
            self._found()

    def end(self, model: Path | None) -> None:
        """Close the run; ``model`` is the exported directory, or None when the run failed."""
        if self.client is None:
            return
        self._over = True
        if self._load is not None:
            self._load.finish()
        if model is not None:
            self._later(partial(self._tag, "model", str(model)))
        self._later(lambda: self.client.set_terminated(self.run, "FINISHED" if model is not None else "FAILED"))
        self.flush()

    def _tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run, name, value)

    def _later(self, call: Callable[[], object]) -> None:
        if self.client is not None:
            self._calls.append(call)

    def _open(self, config: TrainingConfig) -> str:
        marker = Path(config.output) / RUN_FILE
        if marker.exists():
            run = marker.read_text(encoding="utf-8").strip()
            self.client = client_of(self._tracking)
            if self._continues(run):
                return run
        self.client, experiment = open_store(self._tracking)
        from mlflow.entities import Param

        run = str(self.client.create_run(experiment, run_name=config.name).info.run_id)
        params = [Param(name, str(value)) for name, value in config.model_dump().items()]
        self.client.log_batch(run, params=params)
        marker.write_text(run, encoding="utf-8")
        return run

    def _continues(self, run: str) -> bool:
        """Whether the store has this run; assumed if the store does not answer."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.update_run(run, status="RUNNING")
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False  # the store was emptied or replaced since
            self._lost(error)
        except Exception as error:
            self._lost(error)
        return True

    def _watch_machine(self) -> None:
        """Log the load of CPUs, memory and GPUs with MLflow's monitor, every ten seconds."""
        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        try:
            self._load = SystemMetricsMonitor(self.run, resume_logging=True, tracking_uri=self._tracking)
            self._load.start()
        except Exception as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        if not self._silent:
            log.warning(
                "The tracking store %s cannot be reached (%s); training goes on, and metrics.jsonl has its metrics.",
                self._tracking,
                (str(error) or type(error).__name__).splitlines()[0][:200],
            )
        self._silent = True

    def _found(self) -> None:
        if self._silent and not self._over:
            if self._load is not None:
                self._load.finish()  # it gave up when the store was gone
            self._watch_machine()
        self._silent = False


def record_model(config: TrainingConfig, model: Path) -> None:
    """Record a finished model in its run: its digest as a tag, its configuration and README as artifacts.

    `stems publish` uploads the weights later. Without a run or a reachable store it does nothing.
    """
    marker = Path(config.output) / RUN_FILE
    if not config.tracking or config.tracking == "off" or not marker.exists():
        return
    run = marker.read_text(encoding="utf-8").strip()
    try:
        client = client_of(config.tracking)
        client.set_tag(run, MODEL_DIGEST, directory_digest(model))
        for name in ("config.json", "README.md"):
            if (model / name).is_file():
                client.log_artifact(run, str(model / name), "model")
    except Exception as error:
        log.warning("The finished model could not be recorded in %s: %s", config.tracking, error)
