"""python -m benchmarks.suggesting: F1 on test after k annotated documents, chosen by each method of `suggest`.

Annotators are simulated with a corpus that is annotated. Of its training documents, --start are drawn at random and
annotated: their entities become visible. A model is fine-tuned on them; both are the same for all methods of a seed.
The model chooses the next --step documents among the others (method=random draws them), which are annotated in turn,
and so on, --rounds times. Each model is trained anew from --model, and scored on test once; its dev is carved from what
is annotated, as a small project would do.

Documents are not equally long, so the table has the words that were annotated as well: a method that chooses long
documents costs more hours for as many documents. F1 is that of nested exact (docs/metrics.md).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import markdown, results, running
from benchmarks.finetuning_settings import composed, setting
from bertinchamps.console import tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError

METHODS = ("random", "uncertainty", "diversity", "both")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("suggesting", __doc__)
    words.add_argument("--model", metavar="DIR", required=True, help="a pretrained model, or its run")
    words.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="(all)")
    words.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="(0 1 2)")
    words.add_argument("--start", type=int, default=30, help="documents drawn at random (%(default)s)")
    words.add_argument("--step", type=int, default=30, help="documents chosen in a round (%(default)s)")
    words.add_argument("--rounds", type=int, default=3, help="choices, one after the other (%(default)s)")
    words.add_argument("--pool", type=int, help="training documents to choose from (all)")
    results.add_options(words, "suggesting.json", "F1 over annotated documents")
    words.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help="of bertinchamps.finetune: task=quaero_medline, or task=ner task.train=… task.test=…, and the recipe",
    )
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Simulate annotators with each method and seed.

    Args:
        arguments: of the command line.
        folder: for what is written on the way; the JSON file is written after each training.

    Returns:
        What goes into the JSON file.

    Raises:
        UserError: the settings, the data or the model are not right.
    """
    from bertinchamps.tasks.examples import read_examples

    examples = read_examples(composed([*arguments.settings, setting("model", arguments.model)]))
    if examples.kind.name != "ner" or "test" not in examples.splits:
        raise UserError("task: a task of entities with a test split is needed")
    needed = arguments.start + arguments.step * arguments.rounds
    pool = list(examples.splits["train"])
    random.Random(0).shuffle(pool)
    pool = pool[: arguments.pool]
    if len(pool) < needed:
        raise UserError(f"--start, --step, --rounds: {needed} documents, and train has {len(pool)}")
    write_brat(folder / "test", examples.splits["test"])
    recipe = [word for word in arguments.settings if not word.startswith("task")]
    rows: list[dict[str, Any]] = []
    result = {
        **results.facts("suggesting"),
        "task": examples.title,
        "pool": len(pool),
        "test_documents": len(examples.splits["test"]),
        "settings": {"model": arguments.model, "finetune": arguments.settings},
        "rows": rows,
    }
    for turn, seed in enumerate(arguments.seeds):
        simulation = Simulation(pool, arguments, recipe, seed, folder)
        first = simulation.trained(simulation.start, folder / "first")
        for method in running.rotated(arguments.methods, turn):
            for row in simulation.rounds(method, first):
                rows.append({"method": method, "seed": seed, **row})
                results.write(result, arguments.output)
    return result


class Simulation:
    """Annotators of one seed.

    Args:
        pool: annotated documents, whose entities are seen once they are chosen.
        arguments: of the command line.
        recipe: settings of bertinchamps.finetune beside those of the task.
        seed: of the documents to start with, of the trainings and of the choices.
        folder: with the brat folder `test`.
    """

    def __init__(
        self,
        pool: Sequence[AnnotatedText],
        arguments: argparse.Namespace,
        recipe: Sequence[str],
        seed: int,
        folder: Path,
    ) -> None:
        self._documents = {str(number): each._replace(name=str(number)) for number, each in enumerate(pool)}
        self._arguments, self._recipe, self._seed, self._folder = arguments, recipe, seed, folder
        self.start = random.Random(seed).sample(sorted(self._documents), arguments.start)

    def rounds(self, method: str, first: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Documents, words and F1 before the first choice, which is that of all methods, and after each."""
        annotated, model = list(self.start), self._folder / "first"
        yield first
        for number in range(self._arguments.rounds):
            annotated += self._chosen(method, model)
            model = self._folder / f"round-{number}"
            row = self.trained(annotated, model)
            tell(f"{method}, seed {self._seed}, {len(annotated)} documents: F1 {100 * row['f1']:.1f}")
            yield row

    def trained(self, annotated: Sequence[str], folder: Path) -> dict[str, Any]:
        """Fine-tune on some documents, in FOLDER/run beside FOLDER/train and FOLDER/left, and score test."""
        shutil.rmtree(folder, ignore_errors=True)
        write_brat(folder / "train", [self._documents[name] for name in annotated])
        left = [document for name, document in self._documents.items() if name not in annotated]
        write_brat(folder / "left", left, annotated=False)
        where = [setting("task.train", folder / "train"), setting("task.test", self._folder / "test")]
        where += [setting("model", self._arguments.model), setting("run_dir", folder / "run")]
        ran("finetune", "task=ner", *where, f"seed={self._seed}", *self._recipe)
        scores = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))["scores"]
        words = sum(len(self._documents[name].text.split()) for name in annotated)
        return {"documents": len(annotated), "words": words, "f1": scores["test"]["nested_exact"]["f1"]}

    def _chosen(self, method: str, folder: Path) -> list[str]:
        """The names of the next documents, by a model that `trained` made."""
        ranking = folder / "next.jsonl"
        ranking.unlink(missing_ok=True)
        words = [setting("model", folder / "run"), setting("input", folder / "left")]
        words += [setting("annotated", folder / "train"), setting("ranking", ranking)]
        ran("suggest", *words, f"count={self._arguments.step}", f"method={method}", f"seed={self._seed}")
        return [json.loads(line)["id"] for line in ranking.read_text(encoding="utf-8").splitlines()]


def write_brat(folder: Path, documents: Sequence[AnnotatedText], annotated: bool = True) -> None:
    """A brat folder, or one of texts alone."""
    from bertinchamps.tasks.formats import brat

    for document in documents:
        brat.write_document(folder, document, annotated)


def ran(command: str, *words: str) -> None:
    """Run a command of bertinchamps.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"bertinchamps.{command}", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{command} failed: {running.last_line(done.stderr)}")


def _curve(result: Mapping[str, Any], method: str) -> list[tuple[int, float, float, float]]:
    """Documents, mean words, mean and deviation of F1 in per cent, of each round."""
    own = [row for row in result["rows"] if row["method"] == method]
    curve = []
    for documents in sorted({row["documents"] for row in own}):
        at = [row for row in own if row["documents"] == documents]
        scores = [100 * row["f1"] for row in at]
        deviation = statistics.stdev(scores) if len(scores) > 1 else 0.0
        curve.append(
            (documents, statistics.mean(row["words"] for row in at), statistics.mean(scores), deviation)
        )
    return curve


def _methods(result: Mapping[str, Any]) -> list[str]:
    return [method for method in METHODS if any(row["method"] == method for row in result["rows"])]


def table(result: Mapping[str, Any]) -> str:
    """A row a method: F1 on test, mean ± deviation over seeds, and the words that were annotated in the end."""
    curves = {method: _curve(result, method) for method in _methods(result)}
    steps = [documents for documents, *_ in next(iter(curves.values()))]
    header = ["documents", *(str(step) for step in steps), "words"]
    rows = [
        [method, *(f"{mean:.1f} ± {spread:.1f}" for _, _, mean, spread in curve), f"{curve[-1][1]:,.0f}"]
        for method, curve in curves.items()
    ]
    return "\n".join(markdown.table(header, 1, rows))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """F1 over annotated documents, a line a method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for method in _methods(result):
        documents, _, means, spreads = zip(*_curve(result, method), strict=True)
        axes.errorbar(documents, means, yerr=spreads, label=method, capsize=3)
    axes.set(xlabel="annotated documents", ylabel="F1 on test, nested exact", title=result["task"])
    axes.legend()
    figure.savefig(file, dpi=150)


def main() -> None:
    """Entry point of `python -m benchmarks.suggesting`."""
    arguments = parser().parse_intermixed_args()
    running.run("suggesting", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
