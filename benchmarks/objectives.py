"""python -m benchmarks.objectives: what objectives of pretraining are worth at equal wall clock, beside mlm.

Each objective and each seed is a run of `python -m bertinchamps.pretrain` that ends after --minutes, evaluations and
compilation included, in a process of its own; the order is another one for each seed. Each model is then fine-tuned, as
`python -m bertinchamps.finetune` does it, with the same settings and seed for all. Corpus and tokenizer are prepared
before the first run. The machine must be quiet, or times are not equal.

The held-out loss is that of 15 % masked tokens, in nats, for every objective that has one. Of rtd, whose encoder has
no head for masked tokens, the score after fine-tuning alone compares. --folder keeps the runs, and goes on where it
was left. Further settings of pretrain, for all objectives, stand before the options that take several words.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import markdown, results, running
from bertinchamps.metrics.protocols import PROTOCOLS

COMPARED = ("mlm", "mlm_spans", "causal_then_mlm", "hybrid", "rtd")
NONE = "–"

Row = Mapping[str, Any]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("objectives", __doc__)
    words.add_argument(
        "--objectives", nargs="+", default=COMPARED, help="of configs/objective/ (%(default)s)"
    )
    words.add_argument("--minutes", type=float, default=10, help="of each pretraining run (%(default)s)")
    words.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2), help="(%(default)s)")
    words.add_argument("--files", nargs="+", type=Path, help="documents to pretrain on (the demo's)")
    words.add_argument(
        "--held-out", nargs="+", type=Path, help="documents to score on (a share of the others)"
    )
    words.add_argument("--arch", default="small", help="of configs/arch/ (%(default)s)")
    words.add_argument("--mask-rate", type=float, default=0.3, help="of all objectives (%(default)s)")
    words.add_argument(
        "--finetune", nargs="*", default=("task=demo",), metavar="KEY=VALUE",
        help="settings of fine-tuning; without any, no model is fine-tuned (%(default)s)",
    )  # fmt: skip
    words.add_argument("--folder", type=Path, help="where runs are kept (a temporary one)")
    words.add_argument("--output", metavar="FILE", type=Path, help="write the rows as JSON, too")
    words.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="of pretrain, for all objectives")
    return words


def corpus_words(arguments: argparse.Namespace) -> list[str]:
    """The settings of pretrain that say what is read."""
    if not arguments.files:
        return ["data=demo"]
    given = {"files": arguments.files, "held_out_files": arguments.held_out or []}
    listed = {
        name: ",".join(f"'{file.resolve()}'" for file in files) for name, files in given.items() if files
    }
    return ["data=files", *(f"data.{name}=[{files}]" for name, files in listed.items())]


def pretraining_words(arguments: argparse.Namespace, objective: str, seed: int) -> list[str]:
    """The settings of one pretraining run; those of the command line stand last, and overrule the others."""
    return [
        *corpus_words(arguments),
        "experiment=short",
        f"arch={arguments.arch}",
        f"objective={objective}",
        f"objective.mask_rate={arguments.mask_rate}",
        f"budget.hours={arguments.minutes / 60}",
        f"seed={seed}",
        "report.html=false",
        *arguments.settings,
    ]


def run(command: str, words: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a command with settings in a directory, or go on with it; returns its results.

    Raises:
        ProcessFailed: it did.
    """
    name = {"pretrain": "summary.json", "finetune": "results.json"}[command]
    if not (folder / name).exists():
        line = [sys.executable, "-m", f"bertinchamps.{command}", *words, f"run_dir={folder}", "resume=auto"]
        ran = subprocess.run(line, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise running.ProcessFailed(ran.stderr)
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


def prepare(arguments: argparse.Namespace) -> None:
    """Build corpus and tokenizer, which no run is charged for: an update of a run that is thrown away does it."""
    with tempfile.TemporaryDirectory() as folder:
        words = [
            *pretraining_words(arguments, arguments.objectives[0], 0),
            "budget.hours=null",
            "budget.steps=1",
        ]
        run("pretrain", words, Path(folder) / "run")


def measured(arguments: argparse.Namespace, folder: Path, objective: str, seed: int) -> dict[str, Any]:
    """A row: the scores of one objective with one seed."""
    place = folder / f"{objective}_{seed}"
    summary = run("pretrain", pretraining_words(arguments, objective, seed), place)
    row = {
        "objective": objective,
        "seed": seed,
        "loss": summary["held_out"].get("loss"),
        "held_out": summary["held_out"],
        "spent": summary["spent"],
        "score": None,
    }
    if arguments.finetune:
        words = [*arguments.finetune, f"model={place / 'model'}", f"seed={seed}", "report.html=false"]
        dev = run("finetune", words, folder / f"{objective}_{seed}_tuned")["scores"]["dev"]
        protocol = next(iter(dev))
        row |= {"score": dev[protocol][PROTOCOLS[protocol].headline], "protocol": protocol}
    print(f"{objective}, seed {seed}: {row['loss'] or NONE} nats, dev {row['score']}", file=sys.stderr)
    return row


def spread(numbers: Sequence[float | None], digits: int) -> str:
    """Mean ± standard deviation of the seeds."""
    known = [number for number in numbers if number is not None]
    if not known:
        return NONE
    deviation = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{digits}f}{deviation}"


def table(rows: Sequence[Row]) -> list[str]:
    """A line for each objective, over its seeds."""
    shown = []
    for objective in dict.fromkeys(row["objective"] for row in rows):
        own = [row for row in rows if row["objective"] == objective]
        spent = [
            f"{statistics.mean(row['spent'][key] for row in own):,.3g}"
            for key in ("steps", "tokens", "flops")
        ]
        shown.append(
            (
                objective,
                spread([row["loss"] for row in own], 3),
                spread([row["score"] for row in own], 4),
                *spent,
            )
        )
    protocol = next((row["protocol"] for row in rows if "protocol" in row), "none")
    header = (
        "objective",
        "held-out loss, nats",
        f"dev after fine-tuning ({protocol})",
        "updates",
        "tokens",
        "FLOPs",
    )
    return markdown.table(header, 1, shown)


def main() -> int:
    """Measure, and print the table."""
    arguments = parser().parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        try:
            prepare(arguments)
            for turn, seed in enumerate(arguments.seeds):
                for objective in running.rotated(arguments.objectives, turn):
                    rows.append(measured(arguments, folder, objective, seed))
        except running.ProcessFailed as failure:
            sys.exit(f"benchmarks.objectives: a run failed:\n{failure}")
    rows.sort(key=lambda row: (arguments.objectives.index(row["objective"]), row["seed"]))
    print(*table(rows), sep="\n")
    print(
        f"seeds {', '.join(map(str, arguments.seeds))}, {arguments.minutes:g} minutes a run; {results.hardware()}"
    )
    if arguments.output:
        results.write({**results.facts("objectives"), "rows": rows}, arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
