"""What can be wrong with the runtime of a command that predicts."""

from __future__ import annotations

from bertinchamps.model.onnx_model import ENGINES, TORCH, missing_runtime
from bertinchamps.schemas import EngineConfig
from bertinchamps.training.runtime import runtime_problems


def engine_problems(config: EngineConfig) -> list[str]:
    """Mistakes in the runtime settings, in the user's key names."""
    found = runtime_problems(config)
    if config.engine not in ENGINES:
        return [*found, f"runtime.engine={config.engine}: one of {', '.join(ENGINES)}"]
    if config.engine == TORCH:
        return found
    if missing := missing_runtime():
        found.append(f"runtime.engine={config.engine}: {missing}")
    only = (
        ("device", config.device, ("auto", "cpu")),
        ("precision", config.precision, ("auto", "fp32")),
        ("compile", config.compile, ("auto", "off")),
    )
    found += [
        f"runtime.{key}={value}: runtime.engine={config.engine} computes in float32 on the processor; leave it out"
        for key, value, taken in only
        if value not in taken
    ]
    return found
