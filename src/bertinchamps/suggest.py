"""python -m bertinchamps.suggest: a model and unlabelled texts in, those to annotate next out, labelled if wanted."""

from __future__ import annotations

import sys

from bertinchamps import command_line

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("suggest")
    sys.exit()

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers.utils.logging import disable_progress_bar

from bertinchamps.console import counted, tell
from bertinchamps.durable import progressive
from bertinchamps.errors import UserError
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.schemas import SuggestConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.inputs import Inputs, open_inputs, survey
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.outputs import format_of, open_output
from bertinchamps.tasks.saved_model import model_folder, open_model
from bertinchamps.tasks.suggestion import (
    Candidates,
    Chosen,
    as_prediction,
    inputs_at,
    methods,
    ranked_rows,
    read_candidates,
)
from bertinchamps.tasks.text_vectors import TextReader
from bertinchamps.tasks.writing import checker, write
from bertinchamps.textfiles import json_lines
from bertinchamps.textfiles.limits import reading
from bertinchamps.training.runtime import build_runtime


@reading
def suggest(config: SuggestConfig) -> None:
    """Choose the texts to annotate next, and label them for annotators to correct.

    The same model, texts and seed give the same choice.

    Raises:
        UserError: something the user can mend.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    given = as_prediction(config)
    folder = model_folder(given)
    facts = read_facts(folder)
    kind = kinds.build(facts.kind)
    form = format_of(given, kind, facts) if config.output is not None else "jsonl"
    if facts.pairs or kind.reads_entities:
        raise UserError(
            f"model={config.model}: does not read single texts, of which suggest chooses; give a model of task=ner or "
            "task=classification"
        )
    inputs = open_inputs(given, kind.reads_words, pairs=False)
    found = survey(
        inputs, checker(kind, facts, form, inputs) if config.output is not None else lambda _: None
    )
    known = None
    if config.annotated is not None:
        known = open_inputs(as_prediction(config, config.annotated), kind.reads_words, pairs=False)
    method = methods.build(config.method)
    runtime = build_runtime(config.runtime)
    model = open_model(folder, facts, config.batch, runtime, config.base)
    reader = TextReader(
        model.model, open_tokenizer(str(folder)), facts.max_length, config.batch, runtime.device
    )
    with model.reading():
        candidates = read_candidates(model, reader, method, inputs, known)
    order = np.random.default_rng(config.seed).permutation(len(candidates.places))
    chosen = method.choose(candidates.pool, config.count, order)
    _write_ranking(Path(config.ranking).expanduser(), candidates, chosen)
    _tell_choice(config, candidates, chosen, inputs)
    if config.output is None:
        return
    texts = inputs_at(inputs, [candidates.places[each.place] for each in chosen])
    with open_output(given, form) as place, model.reading():
        predictions = model.predictions(texts, Counter())
        write(place, form, kind, facts, zip(texts, predictions, strict=True), inputs, found.columns)
    tell(f"labelled   {config.output}, for annotators to correct")


def _write_ranking(file: Path, candidates: Candidates, chosen: Sequence[Chosen]) -> None:
    rows = list(ranked_rows(candidates, chosen))
    with progressive(file, folder=False) as place:
        if file.suffix == ".jsonl":
            json_lines.write(place, rows)
            return
        with place.open("w", encoding="utf-8", newline="") as stream:
            tables.write(
                stream, list(rows[0]), ([_cell(value) for value in row.values()] for row in rows), ","
            )


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _tell_choice(
    config: SuggestConfig, candidates: Candidates, chosen: Sequence[Chosen], inputs: Inputs
) -> None:
    left_out = [
        f"{count:,} {what}"
        for count, what in (
            (candidates.copies, "copies of others or of annotated ones"),
            (candidates.blank, "blank"),
        )
        if count
    ]
    more = f" (left out: {', '.join(left_out)})" if left_out else ""
    tell(
        f"chosen     {len(chosen):,} of {counted(len(candidates.places), 'text')} by method={config.method}: "
        f"{config.ranking}{more}"
    )
    for line in inputs.bad.lines():
        tell(line)
