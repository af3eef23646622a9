"""What can be wrong with the settings of `compress`."""

from __future__ import annotations

from pathlib import Path

from bertinchamps.checks.engine import engine_problems
from bertinchamps.checks.rules import taken, unwritable
from bertinchamps.compressing import steps
from bertinchamps.compressing.material import material_of
from bertinchamps.errors import UserError
from bertinchamps.schemas import CompressConfig, named


def problems(config: CompressConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    output = Path(config.output).expanduser()
    found = (
        [taken("output", config.output)] if output.exists() else unwritable("output", config.output, output)
    )
    found += engine_problems(config.runtime)
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
    return [
        *found,
        *(problem for node in config.steps for problem in steps.build(**node).problems(material)),
    ]
