"""python -m bertinchamps.compress: a finished model in, a smaller and faster one of the same use out."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("compress")
    sys.exit()

import shlex
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from bertinchamps.compressing.chain import compressed
from bertinchamps.compressing.material import material_of
from bertinchamps.console import tell
from bertinchamps.schemas import CompressConfig
from bertinchamps.training.checkpoint import write_directory


def compress(config: CompressConfig) -> None:
    """Take the steps one after another; write the last model, and what was measured of each.

    Raises:
        UserError: the model cannot be read, or a step cannot change it.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    material = material_of(config)
    output = Path(config.output).expanduser()
    write_directory(output, lambda place: compressed(material, place, tell))
    tell(f"model      {output}")
    if material.source.facts is not None:
        opened = f"model={shlex.quote(str(output))}"
        tell(f"next       python -m bertinchamps.predict {opened} input=TEXTS output=FOUND.jsonl")
