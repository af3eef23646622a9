"""`predict 'model=[A,B]'`: one model after the other labels the same texts, each into a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.inputs import STREAM
from bertinchamps.tasks.outputs import SUFFIXES


def names_of(given: Any) -> list[str]:
    """The models that `model=` names, in order.

    Raises:
        UserError: it is neither a name nor a list of names.
    """
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UserError("model: the directory of a run, or a list of them: 'model=[A,B]'")
    return names


def own_name(folder: Path, taken: Sequence[str]) -> str:
    """The name of a model's run, with a number where another model has it."""
    whole = folder.resolve()
    name = (whole.parent if whole.name == "model" else whole).name
    same = sum(other == name or other.startswith(f"{name}-") for other in taken)
    return f"{name}-{same + 1}" if name in taken else name


def for_each_model(config: PredictConfig) -> Iterator[PredictConfig]:
    """The configuration for each model of a list, whose output is a file, or a folder, in the folder `output=`.

    Args:
        config: of a single model it is given as it is.

    Raises:
        UserError: `model=` is neither a name nor a list of names.
    """
    if not isinstance(config.model, list):
        yield config
        return
    form = "jsonl" if config.format == "auto" else config.format
    taken: list[str] = []
    for name in names_of(config.model):
        taken.append(own_name(Path(name).expanduser(), taken))
        place = Path(config.output).expanduser() / f"{taken[-1]}{SUFFIXES[form]}"
        yield replace(config, model=name, format=form, output=str(place))


def several_problems(config: PredictConfig) -> list[str]:
    """What one model allows and a list of them does not, in the user's key names."""
    if not isinstance(config.model, list):
        return []
    found = []
    if config.output == STREAM:
        found.append("output=-: several models need a folder, which gets a file for each; give output=FOLDER")
    elif Path(config.output).expanduser().is_file():
        found.append(
            f"output={config.output}: a file; several models need a folder, which gets a file for each"
        )
    if config.input == STREAM:
        found.append("input=-: several models read the texts in turn; give a file or a folder")
    if config.deidentify.get("name", "none") != "none":
        found.append(
            f"deidentify={config.deidentify['name']}: replaces what one model finds; give a single model="
        )
    return found
