"""MLflow's records of a run, in a database on this machine."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ID = "mlflow.txt"  # in the run's directory: where MLflow has it, so that a resumed run goes on there
EXPERIMENT = "bertinchamps"
MOST_AT_ONCE = 500  # metrics that MLflow gets in one call, which may have 1,000
SECONDS = 10.0  # between two calls
MOST_PARAMETERS = 100  # of one call
LONGEST = 500  # characters of a parameter


class MlflowRun:
    """A run of MLflow in a database of SQLite; nothing is sent anywhere.

    Args:
        run_dir: of the run.
        settings: of the run, which become parameters.
        store: the database.
        imported: imports a module of MLflow.
    """

    def __init__(
        self, run_dir: Path, settings: Mapping[str, Any], store: Path, imported: Callable[[str], Any]
    ) -> None:
        # read when mlflow is imported
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._entities = imported("mlflow.entities")
        self._client = imported("mlflow.tracking").MlflowClient(tracking_uri=f"sqlite:///{store.absolute()}")
        for name in ("mlflow", "alembic"):  # the import has set them anew
            logging.getLogger(name).setLevel(logging.ERROR)
        self._waiting: list[Any] = []
        self._sent_at = time.monotonic()
        self._run = self._opened(run_dir, settings, store)

    def _opened(self, run_dir: Path, settings: Mapping[str, Any], store: Path) -> str:
        """The id of the run in MLflow: a new one, or that of the run that is resumed."""
        file = run_dir / ID
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        place = (store.absolute().parent / "mlflow_artifacts").as_uri()
        number = (
            experiment.experiment_id
            if experiment is not None
            else self._client.create_experiment(EXPERIMENT, artifact_location=place)
        )
        run: str = self._client.create_run(number, run_name=run_dir.name).info.run_id
        flat = [
            self._entities.Param(name, str(value)[:LONGEST])
            for name, value in _flat(settings)
            if value is not None
        ]
        for start in range(0, len(flat), MOST_PARAMETERS):
            self._client.log_batch(run, params=flat[start : start + MOST_PARAMETERS])
        file.write_text(run + "\n", encoding="utf-8")
        return run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics, some calls at a time."""
        now = int(1000 * time.time())
        self._waiting += [
            self._entities.Metric(name, float(value), now, step) for name, value in metrics.items()
        ]
        if len(self._waiting) >= MOST_AT_ONCE or time.monotonic() - self._sent_at > SECONDS:
            self._send()

    def _send(self) -> None:
        for start in range(0, len(self._waiting), MOST_AT_ONCE):
            self._client.log_batch(self._run, metrics=self._waiting[start : start + MOST_AT_ONCE])
        self._waiting, self._sent_at = [], time.monotonic()

    def close(self) -> None:
        """Write what is left."""
        self._send()
        self._client.set_terminated(self._run)


def _flat(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in node.items():
        found += (
            _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else [(f"{prefix}{key}", value)]
        )
    return found
