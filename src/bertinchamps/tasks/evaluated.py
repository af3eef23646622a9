"""What is said of predictions for dev and test: scores with intervals, counts of errors, how true confidences are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertinchamps.metrics.calibration import calibration
from bertinchamps.metrics.intervals import TALLIES, with_intervals, write_tallies
from bertinchamps.schemas import FinetuneReportConfig
from bertinchamps.tasks.kinds import ComparesTexts, HasConfidences, KindTask
from bertinchamps.textfiles import json_lines

COMPARED = "_compared.jsonl"  # end of the name of a split's file with texts, gold beside predicted


class Evaluated:
    """Evaluates predictions, and keeps what results.json says of them.

    Args:
        task: that predicted.
        config: how many samples give intervals, and whether texts are kept.
    """

    def __init__(self, task: KindTask, config: FinetuneReportConfig) -> None:
        self._task, self._config = task, config
        self._errors: dict[str, Any] = {}
        self._calibration: dict[str, Any] = {}

    def add(self, folder: Path, split: str, predicted: Any) -> dict[str, Any]:
        """The scores of a split by protocol; counts of its documents are written into the folder."""
        task = self._task
        if isinstance(task, HasConfidences):
            found = calibration(task.decisions(split, predicted))
            if found["decisions"]:
                self._calibration[split] = found
        if isinstance(task, ComparesTexts):
            if errors := task.errors(split, predicted):
                self._errors[split] = errors
            if self._config.show_text:
                json_lines.write(folder / f"{split}{COMPARED}", task.compared(split, predicted))
        write_tallies(folder / f"{split}{TALLIES}", task.tallies(split, predicted))
        return self.scores(split, predicted)

    def scores(self, split: str, predicted: Any, places: Sequence[int] | None = None) -> dict[str, Any]:
        """The scores of a split, or of its examples at some places, with intervals."""
        scores, tallies = (
            self._task.scores(split, predicted, places),
            self._task.tallies(split, predicted, places),
        )
        return with_intervals(scores, tallies, self._config.intervals)

    def results(self) -> dict[str, Any]:
        """What results.json has beside scores."""
        return {"errors": self._errors, "calibration": self._calibration}
