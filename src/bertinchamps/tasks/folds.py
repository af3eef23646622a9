"""Cross-validation of small corpora: each text of train and dev is predicted once, by a model that has not seen it.

A fold's texts are the test split of its fine-tuning. What is left is its train, from which a dev split is carved as
where data have none, so neither the weights nor their choice have seen the fold. RUN/folds/NUMBER is a run of its own.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

from bertinchamps.errors import UserError
from bertinchamps.metrics.intervals import INTERVALS, TALLIES, read_tallies, with_intervals
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.metrics.resampling import whole
from bertinchamps.metrics.tallies import Tally
from bertinchamps.schemas import FinetuneConfig
from bertinchamps.tasks.examples import CARVING_SEED, Examples
from bertinchamps.tasks.splits import Record, classes_of_texts, hash_of, with_dev
from bertinchamps.training.run_files import FOLDS, read_summary

PREDICTIONS = "cross_validation.jsonl"


def folds_of(examples: Examples, count: int, dev_share: float) -> list[Examples]:
    """The examples of each fold's fine-tuning. Where each example has one class, folds are stratified by class.

    Args:
        examples: whose train and dev are divided; their test is left out.
        count: of folds.
        dev_share: of what is left beside a fold.

    Raises:
        UserError: there are fewer different texts than folds, or a fold cannot be trained.
    """
    pool = _pool(examples.splits)
    of_text = _numbers(pool, count)
    if len(of_text) < count:
        raise UserError(f"selection.folds={count}: train and dev have only {len(of_text)} different texts")
    found = []
    for number in range(count):
        left = [record for record in pool if of_text[record.text] != number]
        held = [record for record in pool if of_text[record.text] == number]
        splits: Any = with_dev({"train": left}, dev_share, CARVING_SEED + number + 1)
        splits = {**splits, "test": held}
        if problems := examples.kind.example_problems(splits, examples.labels):
            raise UserError(f"selection.folds={count}: fold {number + 1}: {problems[0]}")
        name = f"{examples.fingerprint} fold {number} of {count}"
        fingerprint = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        found.append(
            replace(examples, splits=splits, fingerprint=fingerprint, subtasks=(), remarks=examples.remarks)
        )
    return found


def _pool(splits: Mapping[str, list[Any]]) -> list[Any]:
    """The examples of train and dev; where a name is in both, that of dev gets another one."""
    taken = {record.name for record in splits["train"]}
    renamed = [
        record._replace(name=f"{record.name} (dev)") if record.name in taken else record
        for record in splits["dev"]
    ]
    return [*splits["train"], *renamed]


def _numbers(pool: Sequence[Record], count: int) -> dict[str, int]:
    """Text → its fold. Copies of a text are in one fold; folds of a stratum differ by one text at the most."""
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for text, classes in classes_of_texts(pool).items():
        strata[classes].append(text)
    numbers: dict[str, int] = {}
    sizes: Counter[int] = Counter()
    for _, texts in sorted(strata.items()):
        order = sorted(range(count), key=lambda number: (sizes[number], number))
        for place, text in enumerate(sorted(texts, key=lambda text: hash_of(text, CARVING_SEED))):
            numbers[text] = order[place % count]
            sizes[order[place % count]] += 1
    return numbers


def config_of_fold(config: FinetuneConfig, run: Path, number: int) -> FinetuneConfig:
    """The settings of a fold's fine-tuning, which is resumed where it was begun."""
    selection = replace(config.selection, folds=None, score_test=True)
    return replace(config, selection=selection, run_dir=str(run / FOLDS / str(number)), resume="auto")


def write_results(run: Path, count: int, draws: int) -> dict[str, Any]:
    """The results of all folds, which are finished; their predictions are joined into one file.

    Args:
        run: the directory of the run that has them.
        count: of folds.
        draws: samples of documents for intervals.

    Returns:
        `cross_validation`: `folds`, `documents`, `seconds`, and `scores` by protocol: for each score its `mean` and
        sample `deviation` over folds, the score of each fold (`by_fold`) and that of all documents `together`, with its
        `interval`.
    """
    folders = [run / FOLDS / str(number) for number in range(1, count + 1)]
    results = [read_summary(folder, "finetune") for folder in folders]
    joined = run / "predictions" / PREDICTIONS
    joined.parent.mkdir(exist_ok=True)
    with joined.open("wb") as stream:
        for folder in folders:
            stream.write((folder / "predictions" / "test.jsonl").read_bytes())
    tallies = _joined([read_tallies(folder / "predictions" / f"test{TALLIES}") for folder in folders])
    protocols = {
        name: list(_scores(name, results, tallies.get(name), draws)) for name in results[0]["scores"]["test"]
    }
    return {
        "cross_validation": {
            "folds": count,
            "documents": max((tally.documents for tally in tallies.values()), default=0),
            "seconds": math.fsum(own["cost"]["seconds"] for own in results),
            "scores": {name: dict(scores) for name, scores in protocols.items() if scores},
        }
    }


def _joined(by_fold: Sequence[dict[str, Tally]]) -> dict[str, Tally]:
    """The tallies of all folds, by protocol."""
    names = [name for name in by_fold[0] if all(name in own for own in by_fold)]
    return {
        name: reduce(lambda one, other: one.joined(other), (own[name] for own in by_fold)) for name in names
    }


def _scores(
    name: str, results: Sequence[Mapping[str, Any]], tally: Tally | None, draws: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each score of a protocol that every fold has."""
    together = (
        {} if tally is None else {path[0]: value for path, value in whole(tally).items() if len(path) == 1}
    )
    ends = with_intervals({name: together}, {} if tally is None else {name: tally}, draws)[name].get(
        INTERVALS, {}
    )
    for metric in PROTOCOLS[name].metrics if name in PROTOCOLS else ():
        values = [own["scores"]["test"][name].get(metric) for own in results]
        if any(value is None for value in values):
            continue
        found = {"mean": statistics.fmean(values), "deviation": statistics.stdev(values), "by_fold": values}
        if metric in together:
            found["together"] = together[metric]
        if metric in ends:
            found["interval"] = ends[metric]
        yield metric, found


def fold_lines(results: Mapping[str, Any]) -> Iterator[str]:
    """Lines to print of a run with folds; none without."""
    own = results.get("cross_validation", {})
    for protocol, scores in own.get("scores", {}).items():
        shown = [f"{name} {each['mean']:.4f} ± {each['deviation']:.4f}" for name, each in scores.items()]
        yield f"folds {protocol:<13} {', '.join(shown)} ({own['folds']} folds)"
