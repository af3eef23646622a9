"""What can be wrong with the settings of `compress`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.engine import engine_problems
from bertinchamps.checks.rules import broken, taken, unwritable
from bertinchamps.compressing import steps
from bertinchamps.compressing.material import material_of, text_entry_problems
from bertinchamps.errors import UserError
from bertinchamps.model.onnx_model import AUTO, TORCH, engine_of
from bertinchamps.schemas import CompressConfig, named


def problems(config: CompressConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    output = Path(config.output).expanduser()
    found = (
        [taken("output", config.output)] if output.exists() else unwritable("output", config.output, output)
    )
    measure = config.measure
    found += [*engine_problems(config.runtime), *text_entry_problems(config)]
    found += broken(
        ("measure.texts", measure.texts, measure.texts >= 1, "must be at least 1"),
        ("measure.batch", measure.batch, measure.batch >= 1, "must be at least 1"),
        ("measure.repeats", measure.repeats, measure.repeats >= 0, "must be at least 0; 0 times nothing"),
        ("seed", config.seed, config.seed >= 0, "must be at least 0"),
    )
    if not config.steps:
        found.append(
            f"steps: nothing to do; give target=… or 'steps=[{{name: …}}]' ({', '.join(steps.names())})"
        )
    wrong = [problem for node in config.steps for problem in steps.problems(*named(node))]
    try:
        material = material_of(config)
    except UserError as error:
        return [*found, *wrong, str(error)]
    if wrong:
        return [*found, *wrong]
    if engine_of(material.source.folder, AUTO) != TORCH:
        found.append(
            f"model={config.model}: was quantised, so it can only be run; compress the model that it was made from"
        )
    of_steps = [problem for node in config.steps for problem in steps.build(**node).problems(material)]
    return list(dict.fromkeys([*found, *of_steps, *material.text_problems()]))
