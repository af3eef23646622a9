"""python -m bertinchamps.predict: new text in, entities or classes out, with a model that finetune made."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("predict")
    sys.exit()

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

from transformers.utils.logging import disable_progress_bar

from bertinchamps.console import counted, tell
from bertinchamps.model.adapters.bases import SharedBases
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.hiding import open_hiding
from bertinchamps.tasks.inputs import STREAM, Input, Inputs, open_inputs, survey
from bertinchamps.tasks.journal import Journal, made_with
from bertinchamps.tasks.kinds import Kind, kinds
from bertinchamps.tasks.outputs import format_of, open_output
from bertinchamps.tasks.saved_model import (
    SavedModel,
    engine_runtime,
    model_folder,
    open_model,
    refuse_useless_ner,
)
from bertinchamps.tasks.several import for_each_model
from bertinchamps.tasks.writing import ROWS, checker, write
from bertinchamps.textfiles.limits import reading

TELL_EVERY = 60.0  # seconds


@reading
def predict(config: PredictConfig) -> None:
    """Label the texts of a file, a folder or standard input, with a model or with several in turn.

    All texts are read once before anything is computed, and then in portions: memory holds one portion, and what is
    labelled is written. Until all texts are labelled, the output is called NAME.unfinished.

    Raises:
        UserError: something the user can mend; nothing that existed was lost.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    shared = SharedBases()
    for of_one_model in list(for_each_model(config)):
        label_all(of_one_model, shared)


def label_all(config: PredictConfig, shared: SharedBases) -> None:
    """Label all texts with a single model.

    Args:
        config: of this model.
        shared: encoders that adapters of earlier models have opened.

    Raises:
        UserError: as `predict`.
    """
    folder = model_folder(config)
    facts = read_facts(folder)
    kind = kinds.build(facts.kind)
    hiding = open_hiding(config, kind, facts)
    written = cast(Kind, hiding.written) if hiding else kind
    form = format_of(config, written, facts)
    refuse_useless_ner(config, kind)
    needed = kind.reads_entities and config.ner is None
    inputs = open_inputs(config, kind.reads_words, facts.pairs, needed, annotated=hiding is not None)
    found = survey(inputs, checker(written, facts, form, inputs))
    for note in found.notes():
        tell(f"note: {note}")
    cut: Counter[str] = Counter()
    journal = None
    if STREAM not in (config.input, config.output) and form in ROWS and hiding is None:
        journal = Journal(Path(config.output).expanduser(), made_with(config, form, folder))
        journal.restore(cut)
        if journal.done:
            tell(f"going on behind {counted(journal.done, 'text')} of a run that was interrupted")
    with hiding.mapping() if hiding else nullcontext(), open_output(config, form, journal) as place:
        runtime, engine = engine_runtime(config.runtime, folder), config.runtime.engine
        model = open_model(folder, facts, config.batch, runtime, config.base, shared, config.ner, engine)
        with model.reading():
            pairs = labelled(model, inputs, found.texts, cut, journal)
            if hiding:
                pairs = hiding.hidden(pairs, inputs.text_column)
            write(place, form, written, facts, pairs, inputs, found.columns, journal)
    where = "" if config.output == STREAM else f": {config.output}"
    for line in (f"{counted(found.texts, 'text')} labelled with {folder}{where}", *inputs.bad.lines()):
        tell(line)
    if hiding:
        tell(f"{counted(hiding.replaced, 'identifier')} replaced; what the model missed is still there")
    if cut:
        tell(f"{cut.total():,} of them longer than {facts.bound}, read by their beginning")


def labelled(
    model: SavedModel, inputs: Inputs, texts: int, cut: Counter[str], journal: Journal | None = None
) -> Iterator[tuple[Input, Any]]:
    """Each text with its prediction; counts those that are read by their beginning, and says how far it is.

    Texts that are in the output already are left out. They are whole portions, so that batches are those of a run that
    was not interrupted.
    """
    done, reported_at = 0, time.monotonic()
    for portion in inputs.portions():
        before, done = done, done + len(portion)
        if journal is not None and before < journal.done:
            continue
        yield from zip(portion, model.predictions(portion, cut), strict=True)
        if journal is not None and done < texts:
            journal.note(done, cut)
        if time.monotonic() - reported_at > TELL_EVERY and done < texts:
            reported_at = time.monotonic()
            tell(f"{done:,} of {texts:,} texts")
