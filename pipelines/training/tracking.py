"""The run in MLflow: settings, metrics, and where the model went.

Rows are buffered and sent together: a store on SQLite takes milliseconds for each call.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pipelines.training.config import TrainingConfig
from pipelines.training.history import Row

EXPERIMENT = "stems"
RUN_FILE = "mlflow-run"


def create_store(tracking: str) -> None:
    """Create a tracking store and its experiment, so that trainings that start together need not race to."""
    from mlflow.tracking import MlflowClient  # seconds to import

    client = MlflowClient(tracking_uri=tracking)
    if client.get_experiment_by_name(EXPERIMENT) is None:
        client.create_experiment(EXPERIMENT)


class Tracker:
    """Writes one training run to an MLflow store; does nothing where ``tracking`` is off.

    A resumed training continues its MLflow run, whose id is kept in ``<output>/mlflow-run``.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.client: Any = None
        self._waiting: list[Any] = []
        if not config.tracking or config.tracking == "off":
            return
        if config.tracking.startswith("sqlite:///"):
            Path(config.tracking.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
        from mlflow.tracking import MlflowClient  # seconds to import

        self.client = MlflowClient(tracking_uri=config.tracking)
        self.run = self._open(config)

    def _open(self, config: TrainingConfig) -> str:
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        marker = Path(config.output) / RUN_FILE
        if marker.exists():
            try:
                run = marker.read_text().strip()
                self.client.update_run(run, status="RUNNING")
                return run
            except MlflowException:
                pass  # the store was emptied or replaced since: open a new run in it
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self.client.create_experiment(EXPERIMENT)
        run = self.client.create_run(number, run_name=config.name).info.run_id
        marker.write_text(run)
        params = [Param(name, str(value)) for name, value in config.model_dump().items()]
        self.client.log_batch(run, params=params)
        return run

    def log(self, row: Row) -> None:
        """Take one row of metrics."""
        if self.client is None:
            return
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [
            Metric(name, float(value), now, int(row["step"]))
            for name, value in row.items()
            if name != "step" and isinstance(value, (int, float))
        ]

    def flush(self) -> None:
        """Send the rows taken so far."""
        while self.client is not None and self._waiting:
            self.client.log_batch(self.run, metrics=self._waiting[:1000])
            del self._waiting[:1000]

    def end(self, model: Path | None) -> None:
        """Close the run; ``model`` is the exported directory, or None when the run failed."""
        if self.client is None:
            return
        self.flush()
        if model is not None:
            self.client.set_tag(self.run, "model", str(model))
        self.client.set_terminated(self.run, "FINISHED" if model is not None else "FAILED")
