"""Where metrics go besides RUN/metrics.jsonl. Numbers and settings only; never text of documents."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from bertinchamps.errors import UserError
from bertinchamps.registry import Registry
from bertinchamps.schemas import Node, named
from bertinchamps.training.mlflow_tracker import MlflowRun


class Tracker(Protocol):
    """What `hooks/metrics_log.py` calls."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Log metrics after update `step`."""

    def close(self) -> None:
        """The run is over."""


LONGEST_ERROR = 200  # characters of a library's message
# name of a tracker → the modules that it needs
PACKAGES = {
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
}

trackers: Registry[Tracker] = Registry("tracker", "tracker")


@trackers.register("none")
class NoTracker:
    """Only metrics.jsonl."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any]) -> None:
        del run_dir, settings

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


@trackers.register("tensorboard")
class TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, run_dir: Path, settings: Mapping[str, Any]) -> None:
        del settings
        writer = _imported("torch.utils.tensorboard", extra="tensorboard").SummaryWriter
        self._writer = writer(log_dir=str(run_dir / "tensorboard"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


@trackers.register("wandb")
class WeightsAndBiases:
    """Weights & Biases, in RUN/wandb; sends nothing unless `mode` is online."""

    def __init__(
        self, run_dir: Path, settings: Mapping[str, Any], project: str = "bertinchamps", mode: str = "offline"
    ) -> None:
        # Set before the import, which reads it: with `mode` given to `init` alone, wandb's telemetry and look-ups of
        # names stay online.
        os.environ["WANDB_MODE"] = mode
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        wandb = _imported("wandb", extra="wandb")
        self._run = wandb.init(
            project=project,
            mode=mode,
            dir=str(run_dir),
            name=run_dir.name,
            config=dict(settings),
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


@trackers.register("mlflow")
class Mlflow:
    """MLflow, in a database of SQLite beside the runs; nothing is sent anywhere.

    Args:
        store: the database; None: mlflow.db in the folder of the run's directory.
    """

    def __init__(self, run_dir: Path, settings: Mapping[str, Any], store: str | None = None) -> None:
        place = Path(store).expanduser() if store else run_dir.absolute().parent / "mlflow.db"
        place.parent.mkdir(parents=True, exist_ok=True)
        self._run = MlflowRun(run_dir, settings, place, partial(_imported, extra="mlflow"))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(step, metrics)

    def close(self) -> None:
        self._run.close()


class Guarded:
    """The tracker of a run, which cannot end it: its first error is its last, told once.

    Args:
        node: `tracker` of the settings.
        run_dir: of the run.
        settings: of the run.
        warn: prints the error.

    Raises:
        UserError: its package is missing.
    """

    def __init__(
        self, node: Node, run_dir: Path, settings: Mapping[str, Any], warn: Callable[[str], None]
    ) -> None:
        (self._name, own), self._warn = named(node), warn
        self._tracker: Tracker = NoTracker(run_dir, settings)
        with self._telling():
            self._tracker = trackers.build(self._name, run_dir=run_dir, settings=settings, **own)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        with self._telling():
            self._tracker.log(step, metrics)

    def close(self) -> None:
        with self._telling():
            self._tracker.close()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Do without the tracker after a locked database, a full disk, or a service that does not answer."""
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            self._tracker = NoTracker(Path(), {})
            self._warn(
                f"tracker={self._name}: failed ({_in_a_line(error)}); the run goes on without it, and "
                "metrics.jsonl has all numbers"
            )


def _in_a_line(error: Exception) -> str:
    """The kind of an error, and the beginning of its message."""
    first = str(error).strip().partition("\n")[0][:LONGEST_ERROR]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def tracker_problems(name: str, settings: Mapping[str, Any]) -> list[str]:
    """Mistakes in the tracker's settings, and a missing package, in the user's key names."""
    problems = trackers.problems(name, settings, given=("run_dir", "settings"))
    if (
        not problems
        and name in PACKAGES
        and any(importlib.util.find_spec(each) is None for each in PACKAGES[name])
    ):
        problems.append(f"tracker={name}: {_remedy(name)}")
    if settings.get("mode", "offline") not in ("offline", "online", "disabled"):
        problems.append(f"tracker.mode={settings['mode']}: one of offline, online, disabled")
    return problems


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"tracker={extra}: {_remedy(extra)}") from error


def _remedy(extra: str) -> str:
    return f"{extra} is not installed; run: pip install 'bertinchamps[{extra}]'"
