"""What can be wrong with the settings of `suggest`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks import prediction
from bertinchamps.checks.rules import broken, taken, unwritable
from bertinchamps.schemas import SuggestConfig
from bertinchamps.tasks.inputs import STREAM
from bertinchamps.tasks.suggestion import as_prediction, methods

SUFFIXES = (".jsonl", ".csv")


def problems(config: SuggestConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = prediction.problems(as_prediction(config))
    found += methods.problems(config.method)
    found += broken(
        ("count", config.count, config.count >= 1, "must be at least 1"),
        ("input", config.input, config.input != STREAM, "give a folder or a file, which is read twice"),
    )
    place = Path(config.ranking).expanduser()
    if place.suffix not in SUFFIXES:
        found.append(f"ranking={config.ranking}: end the name in {' or '.join(SUFFIXES)}")
    elif place.exists():
        found.append(taken("ranking", config.ranking))
    else:
        found += unwritable("ranking", config.ranking, place)
    if config.annotated is not None and not Path(config.annotated).expanduser().exists():
        found.append(f"annotated={config.annotated}: no such file or folder")
    return found
