"""Each model of a compression, measured: size, time, memory, score."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import torch

from bertinchamps.compressing.material import Material
from bertinchamps.compressing.uses import Opened, use_of
from bertinchamps.errors import UserError
from bertinchamps.manifests import MANIFEST
from bertinchamps.tasks.saved_model import engine_runtime
from bertinchamps.training.runtime import Runtime

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
PEAK_IS_NOW = "5"  # written to CLEAR: the highest resident memory becomes the present one


@dataclass(frozen=True)
class Stage:
    """A model on disk that is measured.

    Attributes:
        name: of the step that made it.
        folder: of the model.
        engine: what computes its predictions.
        parameters: where the opened model does not show them; None: they are counted.
    """

    name: str
    folder: Path
    engine: str
    parameters: int | None = None


@dataclass
class Row:
    """What was measured of a model; None: not measured here.

    Attributes:
        name: of the step.
        parameters: numbers in the weights.
        bytes: of all files of its directory.
        memory: bytes that opening the model and labelling a batch take beside what is in memory.
        scores: on the examples that score.
        metric: the score that counts.
        one: seconds of one text.
        batch: seconds of a batch.
        per_second: texts a second.
    """

    name: str
    parameters: int
    bytes: int
    memory: int | None
    scores: dict[str, float]
    metric: str
    one: float | None = None
    batch: float | None = None
    per_second: float | None = None
    times: dict[str, list[float]] = field(default_factory=lambda: {"one": [], "batch": [], "all": []})

    @property
    def score(self) -> float:
        """The one that counts."""
        return self.scores[self.metric]


def measured(stages: Sequence[Stage], material: Material) -> list[Row]:
    """Measure all models in one process, in turn.

    Args:
        stages: the models; the first is the one before all steps.
        material: its settings say on how many texts, and how often.

    Raises:
        UserError: there are no texts to time models on.
    """
    config = material.config.measure
    use = use_of(material)
    texts = use.texts()[: config.texts]
    if not texts:
        raise UserError("no text to measure models on: the dev split, or texts=, has none")
    batch = list(islice(cycle(texts), config.batch))
    first = stages[0]
    runtime = engine_runtime(_with_engine(material, first.engine))
    use.open(first.folder, first.engine, len(batch), runtime).answer(
        batch[:1]
    )  # what the first one alone would load
    rows, opened = [], []
    for stage in stages:
        row, model = _opened(stage, material, batch)
        rows.append(row)
        opened.append(model)
    for number in range(config.repeats):
        for at in _turned(len(rows), number):  # none is always the first after another one
            _time(opened[at], rows[at], texts, batch, number)
    for row in rows:
        if row.times["all"]:
            row.one, row.batch = median(row.times["one"]), median(row.times["batch"])
            row.per_second = len(texts) / median(row.times["all"])
    return rows


def _opened(stage: Stage, material: Material, batch: list[Any]) -> tuple[Row, Opened]:
    runtime = engine_runtime(_with_engine(material, stage.engine))
    memory = _Memory(runtime)
    model = use_of(material).open(stage.folder, stage.engine, len(batch), runtime)
    model.answer(batch)
    taken = memory.taken()
    counted = sum(weights.numel() for weights in model.model.parameters())
    files = [file for file in stage.folder.rglob("*") if file.is_file() and file.name != MANIFEST]
    size = sum(file.stat().st_size for file in files)
    return Row(stage.name, stage.parameters or counted, size, taken, model.score(), model.metric), model


def _with_engine(material: Material, engine: str) -> Any:
    return replace(material.config.runtime, engine=engine)


def _turned(count: int, by: int) -> list[int]:
    return [(at + by) % count for at in range(count)]


def _time(model: Opened, row: Row, texts: list[Any], batch: list[Any], number: int) -> None:
    row.times["one"].append(_seconds(lambda: model.answer([texts[number % len(texts)]])))
    row.times["batch"].append(_seconds(lambda: model.answer(batch)))
    row.times["all"].append(_seconds(lambda: model.answer(texts)))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


class _Memory:
    """Memory that is taken from here on, at its highest: of the GPU, or resident memory, which Linux alone tells."""

    def __init__(self, runtime: Runtime) -> None:
        self._on_gpu = runtime.device.type == "cuda"
        self._before: int | None = None
        gc.collect()
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return
        try:
            ctypes.CDLL(None).malloc_trim(0)  # what was freed does not serve the next model
            CLEAR.write_text(PEAK_IS_NOW)
            self._before = _resident()
        except (OSError, AttributeError):
            self._before = None

    def taken(self) -> int | None:
        """Bytes; None where they cannot be known."""
        if self._before is None:
            return None
        highest = torch.cuda.max_memory_allocated() if self._on_gpu else _resident()
        return max(0, highest - self._before)


def _resident() -> int:
    """The highest resident memory of this process since CLEAR was written, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])
