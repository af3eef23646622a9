"""What can be wrong with the runtime of a command that predicts."""

from __future__ import annotations

from bertinchamps.model.onnx_model import AUTO, ENGINES, TORCH, missing_runtime
from bertinchamps.schemas import EngineConfig
from bertinchamps.tasks.saved_model import refused_by_graphs
from bertinchamps.training.runtime import runtime_problems


def engine_problems(config: EngineConfig) -> list[str]:
    """Mistakes in the runtime settings, in the user's key names."""
    found = runtime_problems(config)
    if config.engine not in (AUTO, *ENGINES):
        return [*found, f"runtime.engine={config.engine}: one of {', '.join((AUTO, *ENGINES))}"]
    if config.engine in (AUTO, TORCH):
        return found
    if missing := missing_runtime():
        found.append(f"runtime.engine={config.engine}: {missing}")
    return [*found, *refused_by_graphs(config)]
