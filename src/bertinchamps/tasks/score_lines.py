"""What is printed of a finished fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.metrics.intervals import INTERVALS
from bertinchamps.tasks.folds import fold_lines
from bertinchamps.training.costs import cost_line
from bertinchamps.training.privacy.guarantee import in_words


def score_lines(results: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """The lines that are printed of a finished run: scores and paths.

    Args:
        results: the content of results.json.
        folder: the run's directory.
    """
    yield from _scores_of("", results["scores"])
    for title, of_subtask in results.get("subtasks", {}).items():  # results of earlier versions have none
        yield from _scores_of(f" ({title})", of_subtask["scores"])
    if "teachers" in results:
        yield from _scores_of(" (the teachers together)", results["teachers"]["scores"])
        if seconds := results["teachers"].get("seconds"):  # earlier versions had no teachers of a run's own
            yield f"teachers   {seconds / 60:.1f} min of fine-tuning, which are in the cost"
    yield from fold_lines(results)
    yield from _settled_lines(results)
    if bad := results.get("unreadable"):  # earlier versions left nothing out
        counts = ", ".join(f"{split} {own['records']:,}" for split, own in bad.items())
        yield f"left out   records that cannot be read: {counts} (unreadable in results.json has their lines)"
    if "privacy" in results:
        yield f"privacy    {in_words(results['privacy'])}"
    if "energy_kwh" in results["cost"]:  # earlier versions did not count it
        yield cost_line(results["cost"])
    yield f"results    {folder / 'results.json'}"
    yield f"predicted  {folder / 'predictions'}"
    yield f"model      {folder / 'model'}"


def _settled_lines(results: Mapping[str, Any]) -> Iterator[str]:
    """How true confidences are, and whether a wanted recall or precision was reached on dev."""
    errors = {split: own["ece"] for split, own in results.get("calibration", {}).items()}
    if errors:
        shown = ", ".join(f"{split} {error:.3f}" for split, error in errors.items())
        yield f"confidence calibration error: {shown}"
    if (temperature := results["selection"].get("temperature")) is not None:
        steps = [results["selection"][f"dev_ece_{when}"] for when in ("before", "after")]
        known = (
            "" if None in steps else f": calibration error of dev {steps[0]:.3f} before, {steps[1]:.3f} after"
        )
        yield f"temperature {temperature:.3g}{known}"
    if wanted := results["selection"].get("wanted"):
        name, reached = wanted["score"], wanted["reached"]
        at = f"selection.{name}={wanted['wanted']:g}"
        if reached >= wanted["wanted"]:
            yield f"threshold  {wanted['threshold']:g} gives {name} {reached:.4f} on dev ({at})"
        else:
            yield (
                f"WARNING    {at} was NOT reached on dev: {name} is {reached:.4f} with the best threshold, "
                f"{wanted['threshold']:g}"
            )


def _scores_of(of_task: str, by_split: Mapping[str, Any]) -> Iterator[str]:
    for split, protocols in by_split.items():
        for protocol, scores in protocols.items():
            ends = scores.get(INTERVALS, {})
            shown = [
                f"{name} {value:.4f}"
                + (f" [{ends[name][0]:.3f}, {ends[name][1]:.3f}]" if name in ends else "")
                for name, value in scores.items()
                if isinstance(value, float)
            ]
            yield f"{split:<5} {protocol:<13} {', '.join(shown)}{of_task}"
