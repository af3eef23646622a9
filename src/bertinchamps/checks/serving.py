"""What can be wrong with the settings of `serve`."""

from __future__ import annotations

from importlib.util import find_spec

from bertinchamps.checks.engine import engine_problems
from bertinchamps.checks.rules import broken
from bertinchamps.errors import UserError
from bertinchamps.schemas import ServeConfig

PACKAGES = ("fastapi", "uvicorn", "prometheus_client")


def problems(config: ServeConfig) -> list[str]:
    """Every mistake in a configuration, in the user's key names."""
    limits, collecting = config.limits, config.collecting
    found = engine_problems(config.runtime)
    found += broken(
        ("port", config.port, 0 <= config.port < 65536, "must be from 0 to 65535"),
        ("batch", config.batch, config.batch >= 1, "must be at least 1"),
        *(
            (f"limits.{key}", getattr(limits, key), getattr(limits, key) >= 1, "must be at least 1")
            for key in ("body", "texts", "characters", "waiting")
        ),
        ("limits.seconds", limits.seconds, limits.seconds > 0, "must be above 0"),
        ("collecting.texts", collecting.texts, collecting.texts >= 1, "must be at least 1"),
        (
            "collecting.milliseconds",
            collecting.milliseconds,
            collecting.milliseconds >= 0,
            "must not be negative",
        ),
    )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        return [*found, f"serve: needs {', '.join(missing)}: pip install 'bertinchamps[serve]'"]
    from bertinchamps.serving import server
    from bertinchamps.serving.models import folder_of_model
    from bertinchamps.tasks.several import names_of

    found += server.problems(config)
    try:
        for name in names_of(config.model):
            folder_of_model(name, config.runs_dir)
    except UserError as error:
        found.append(str(error))
    return found
