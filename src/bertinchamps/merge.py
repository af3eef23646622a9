"""python -m bertinchamps.merge: an adapter and its base in, one whole model out, which gives the same logits."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("merge")
    sys.exit()

from functools import partial
from pathlib import Path

from transformers.utils.logging import disable_progress_bar

from bertinchamps.console import tell
from bertinchamps.data import pretraining_facts
from bertinchamps.errors import UserError
from bertinchamps.model.adapters.saved import open_saved
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import MergeConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.from_run import remember_run
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.saved_model import model_folder
from bertinchamps.training.checkpoint import write_directory
from bertinchamps.training.privacy.guarantee import copy_facts


def merge(config: MergeConfig) -> None:
    """Write a model of one configuration.

    Raises:
        UserError: there is no adapter, its base is another one, or it cannot become a part of weights.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, output = model_folder(config), Path(config.output).expanduser()
    facts, tokenizer = read_facts(folder), open_tokenizer(str(folder))
    model, adapter = open_saved(folder, partial(kinds.build(facts.kind).build_model, facts), config.base)
    if adapter.trains_encoder:
        raise UserError(f"{folder}: a whole model already, without an adapter; there is nothing to merge")
    if adapter.not_merged is not None:
        raise UserError(f"{folder}: cannot be merged: {adapter.not_merged}")
    what = adapter.describe()
    adapter.merge(model)

    def fill(place: Path) -> None:
        model.save(place)
        tokenizer.save_pretrained(place)
        facts.save(place)
        copy_facts(folder, place)
        remember_run(folder, place)
        if (pretraining := pretraining_facts.read_facts(str(folder))) is not None:
            pretraining_facts.write_facts(pretraining, place)

    write_directory(output, fill)
    tell(f"merged     {what}\nmodel      {output}")
