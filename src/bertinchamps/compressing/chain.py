"""The steps of a compression, one after another; compress.json, which records them and what was measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bertinchamps.compressing import steps
from bertinchamps.compressing.material import Material
from bertinchamps.compressing.measuring import Stage, measured
from bertinchamps.compressing.table import table, write_compressed_card
from bertinchamps.durable import read_json, write_json
from bertinchamps.manifests import MANIFEST
from bertinchamps.model.onnx_model import engine_of
from bertinchamps.tasks.from_run import remember_run
from bertinchamps.training.privacy.guarantee import copy_facts
from bertinchamps.training.runtime import build_runtime

FILE = "compress.json"
BEFORE = "before"  # the name of the model before all steps, in the table
STAGE = ".stage-"


def compressed(material: Material, place: Path, tell: Callable[[str], None]) -> None:
    """Take all steps, and measure each model.

    Args:
        material: the model and what belongs to it.
        place: an empty directory, which gets the last model; those between are removed.
        tell: prints a line.

    Raises:
        UserError: a step cannot change the model.
    """
    folder = material.source.folder
    stages, taken, told = _taken(material, place, tell)
    rows = measured(stages, material)
    shown = table(rows, material.config.measure.batch)
    for line in shown:
        tell(line)
    for file in stages[-1].folder.iterdir():
        file.rename(place / file.name)
    for stage in place.glob(f"{STAGE}*"):
        shutil.rmtree(stage)
    copy_facts(folder, place)
    remember_run(folder, place)
    earlier = read_json(folder / FILE, "steps") if (folder / FILE).is_file() else None
    where = build_runtime(material.config.runtime).describe()
    record = {
        "model": str(material.source.folder),
        "steps": taken,
        "engine": stages[-1].engine,
        "measured": [asdict(row) for row in rows],
        "settings": asdict(material.config.measure),
        "device": where,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **({"earlier": earlier} if earlier else {}),
    }
    write_json(place / FILE, record)
    if earlier:
        told.insert(0, f"compressed before: {', '.join(step['name'] for step in earlier['steps'])}")
    write_compressed_card(replace(material.source, run=material.run), place, told, shown, where)


def _taken(
    material: Material, place: Path, tell: Callable[[str], None]
) -> tuple[list[Stage], list[dict[str, Any]], list[str]]:
    """Take all steps: the models, the first one included, what each step did, and the lines that were told of it."""
    folder = material.source.folder
    stages = [Stage(BEFORE, folder, engine_of(folder, material.config.runtime.engine))]
    taken: list[dict[str, Any]] = []
    told: list[str] = []
    for number, node in enumerate(material.config.steps, start=1):
        stage = place / f"{STAGE}{number}"
        stage.mkdir()
        done = steps.build(**node).apply(stages[-1].folder, material, stage)
        (stage / MANIFEST).unlink(missing_ok=True)  # that of the whole is written at the end
        for line in done.lines:
            tell(line)
        told += done.lines
        name, engine = str(node["name"]), done.engine or stages[-1].engine
        stages.append(Stage(name, stage, engine, done.facts.get("parameters")))
        taken.append({**node, "engine": engine, "facts": dict(done.facts)})
    return stages, taken, told
