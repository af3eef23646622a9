"""What can be wrong with the settings of `predict`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.engine import engine_problems
from bertinchamps.checks.rules import broken, taken, unwritable
from bertinchamps.durable import is_being_written, unfinished
from bertinchamps.errors import UserError
from bertinchamps.registry import closest
from bertinchamps.schemas import PredictConfig, named
from bertinchamps.tasks.deidentification.replacing import replacers
from bertinchamps.tasks.inputs import STREAM
from bertinchamps.tasks.outputs import FORMATS
from bertinchamps.tasks.readers.custom import layer_problems
from bertinchamps.tasks.saved_model import folder_of, model_folder
from bertinchamps.tasks.several import for_each_model, several_problems
from bertinchamps.tasks.writing import ROWS
from bertinchamps.textfiles.bad_records import on_error_problems
from bertinchamps.textfiles.limits import limit_problems, reading


@reading
def problems(config: PredictConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    found = engine_problems(config.runtime)
    if config.format not in ("auto", *FORMATS):
        near = closest(config.format, FORMATS)
        found.append(f"format={config.format}: no such format{near} (one of: auto, {', '.join(FORMATS)})")
    elif config.output == STREAM and config.format not in ("auto", *ROWS):
        found.append(f"format={config.format}: standard output gets {', '.join(ROWS)}; give output=")
    found += broken(("batch", config.batch, config.batch >= 1, "must be at least 1"))
    found += [*limit_problems(config.limits), *on_error_problems(vars(config))]
    found += layer_problems(config.layers, "layers")
    found += [*_input_problems(config.input), *several_problems(config)]
    found += _replacing_problems(config)
    lost = _map_without_name(config)
    try:
        every = list(for_each_model(config))
    except UserError as error:
        every, found = [], [*found, str(error)]
    for of_one_model in every:
        found += [problem + lost for problem in _output_problems(of_one_model.output)]
        try:
            model_folder(of_one_model)
        except UserError as error:
            found.append(str(error))
    if config.ner is not None:
        try:
            folder_of(config.ner)
        except UserError as error:
            found.append(f"ner={error}")
    return found


def _replacing_problems(config: PredictConfig) -> list[str]:
    if not config.deidentify:
        return []
    found = replacers.problems(*named(config.deidentify))
    map_file = config.deidentify.get("map")
    if found or map_file is None:
        return found
    place = Path(map_file).expanduser()
    if place.exists():
        return [taken("deidentify.map", map_file)]
    return unwritable("deidentify.map", map_file, place)


def _map_without_name(config: PredictConfig) -> str:
    """What is said beside an output that is there: its map may wait for its name, which a kill kept from it."""
    map_file = (config.deidentify or {}).get("map")
    if map_file is None or Path(map_file).expanduser().exists():
        return ""
    left = unfinished(Path(map_file).expanduser())
    return (
        f"; if it is the output of a run that was killed at its end, {left} is its map"
        if left.exists()
        else ""
    )


def _input_problems(given: str) -> list[str]:
    source = Path(given).expanduser()
    if given == STREAM or source.is_file() or source.is_dir():
        return []
    if source.exists():
        return [
            f"input={given}: neither a file nor a folder, so not to be read twice; - reads standard input"
        ]
    return [f"input={given}: no such file or folder; - reads standard input"]


def _output_problems(given: str) -> list[str]:
    place = Path(given).expanduser()
    if given == STREAM:
        return []
    if place.is_file() or (place.is_dir() and any(place.iterdir())):
        return [taken("output", given)]
    if is_being_written(left := unfinished(place)):
        return [f"output={given}: another process is writing {left} now; wait for it, or choose another name"]
    return unwritable("output", given, place)
