"""The steps of a compression, one after another; compress.json, which records them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bertinchamps.compressing import steps
from bertinchamps.compressing.material import Material
from bertinchamps.console import tell
from bertinchamps.durable import write_json
from bertinchamps.model.onnx_model import TORCH

FILE = "compress.json"


def compressed(material: Material, place: Path) -> None:
    """Take all steps.

    Args:
        material: the model and what belongs to it.
        place: an empty directory, which gets the last model; those between are removed.

    Raises:
        UserError: a step cannot change the model.
    """
    folder, engine = material.source.folder, TORCH
    taken: list[dict[str, Any]] = []
    for number, node in enumerate(material.config.steps, start=1):
        stage = place / f".stage-{number}"
        stage.mkdir()
        done = steps.build(**node).apply(folder, material, stage)
        for line in done.lines:
            tell(line)
        engine = done.engine or engine
        taken.append({**node, "engine": engine, "facts": dict(done.facts)})
        folder = stage
    for file in folder.iterdir():
        file.rename(place / file.name)
    for stage in place.glob(".stage-*"):
        shutil.rmtree(stage)
    write_json(place / FILE, {"model": str(material.source.folder), "steps": taken, "engine": engine})
