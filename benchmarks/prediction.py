"""python -m benchmarks.prediction: texts a second of prediction, beside the pipelines of transformers.

Entities: ours is what `python -m bertinchamps.predict` does between reading the model and writing the answers
(sentences, words, subwords, model, decoding); the peer is pipeline("token-classification",
aggregation_strategy="simple") over the same weights, as it is (text by text) and with batch_size=8. Masked words:
ours calls the masked language model at the masked positions only; the peer is pipeline("fill-mask"). Both give the
same answers in the same form there.

Both sides get the same texts, on as many threads, in one process; the rows take turns, in an order that rotates,
and a row's figure is its median. float32 and, where the device has it in hardware, bfloat16: autocast with us,
weights in bfloat16 with the peer. Texts are one sentence each, since we read sentence by sentence and the peer a
text as a whole; those of --texts are cut into sentences before, and those that need more than a window are left out
and counted.

FLOPs are those that the answers need, counted as in docs/budget.md, and so the same on both sides: none for padding,
and for masked words the last layer and the head at the masked position only. The product beside them multiplies
[tokens of our mean batch, hidden] with [hidden, intermediate] in our form of the row's precision. The share of the
peak is FLOP/s ÷ the data sheet's dense 16-bit rate on a GPU, and ÷ a measured square product elsewhere.

Agreement is with the peer's first row, float32 text by text. "words" is the share of words with the same best tag
at their first subword, "scores" the largest difference of its probability, "entities" the share of all entities that
both have. Entities differ even where no score does: we decode a sentence's tags such that IOB2 is kept and take a
word's tag from its first subword; "simple" groups subwords as they come. So an untrained model, which has no opinion,
agrees on few. For masked words, "words" is the share of texts with the same five proposals in the same order.

Without --model it makes an untrained one, and sentences without --texts; its vocabulary is small then, and a
decoder of few rows flatters the peer's fill-mask, which decodes every position.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import figures, markdown, results, running
from benchmarks.finetuning_settings import composed, random_model, setting
from benchmarks.sentences import WORDS, documents
from bertinchamps.command_line.running import SPIN_COUNT
from bertinchamps.console import tell
from bertinchamps.errors import UserError

if TYPE_CHECKING:  # torch reads the environment when it is imported, which `main` sets first
    from benchmarks.predictors import Agreement, Row

TASKS = ("entities", "masked words")
WARM_UP = 16  # texts read before the first measurement
LONGEST = 128  # subwords of a window of an untrained model


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("prediction", __doc__)
    words.add_argument("--model", metavar="DIR", type=Path, help="a model that finetune made, with head=flat")
    words.add_argument("--masked-model", metavar="DIR", type=Path, help="a model that pretrain made")
    words.add_argument("--texts", metavar="FILE", type=Path, help="a text a line, in UTF-8")
    words.add_argument("--sentences", type=int, default=400, help="at most, made or read (%(default)s)")
    words.add_argument("--arch", default="small", help="of an untrained model (%(default)s)")
    words.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=list(TASKS), metavar="TASK", help="(both)"
    )
    words.add_argument(
        "--precisions", nargs="+", choices=("fp32", "bf16"), help="(those that the device has in hardware)"
    )
    words.add_argument("--batch", type=int, default=64, help="of our side, windows (%(default)s)")
    words.add_argument("--repeats", type=int, default=5, help="measurements of each row (%(default)s)")
    words.add_argument("--threads", type=int, help="(all cores)")
    results.add_options(words, "prediction.json", "texts a second of each row")
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure all rows in turn.

    Args:
        arguments: of the command line.
        folder: for models that are made on the way.

    Returns:
        What goes into the JSON file.

    Raises:
        UserError: a model or the texts cannot be read.
    """
    from benchmarks.predictors import open_models
    from benchmarks.predictors_entities import entity_rows
    from benchmarks.predictors_masked import masked_rows

    if arguments.model is None or arguments.masked_model is None:
        encoder, tagger = _untrained(arguments.arch, folder)
    models = open_models(
        arguments.model or tagger,
        arguments.masked_model or encoder,
        _texts(arguments),
        arguments.batch,
        arguments.threads,
        arguments.precisions,
    )
    builders = {"entities": entity_rows, "masked words": masked_rows}
    rows = [row for task in arguments.tasks for row in builders[task](models)]
    seconds = _timed(rows, arguments.repeats)
    agreements = [row.agreement() for row in rows]
    facts = results.facts("prediction")
    return {
        **facts,
        "hardware": {**facts["hardware"], "device": models.device.type},
        "threads": models.threads,
        "model": str(arguments.model or "untrained"),
        "masked_model": str(arguments.masked_model or "untrained"),
        "texts": {"read": len(models.texts), "too_long": models.too_long, "tokens": sum(models.lengths)},
        "rows": _measured(rows, seconds, agreements),
    }


def _untrained(arch: str, folder: Path) -> tuple[Path, Path]:
    """A masked language model and a tagger, both with random weights, and a tokenizer of made sentences."""
    from benchmarks.predictors import save_untrained_tagger
    from bertinchamps.tasks.formats import spans_jsonl

    texts = documents(400)
    spans_jsonl.write(folder / "train.jsonl", texts)
    words = ["task=ner", setting("task.train", folder / "train.jsonl"), "model=scratch", f"arch={arch}"]
    encoder, tagger = folder / "encoder", folder / "tagger"
    random_model(composed(words), texts, encoder)
    save_untrained_tagger(encoder, tuple(sorted(WORDS)), LONGEST, tagger)
    return encoder, tagger


def _texts(arguments: argparse.Namespace) -> list[str]:
    """One sentence each, so many as were asked for.

    Raises:
        UserError: the file cannot be read, or holds none.
    """
    if arguments.texts is None:
        return [document.text for document in documents(arguments.sentences)]
    from bertinchamps.tasks.tagging.sentences import sentences

    try:
        lines = arguments.texts.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--texts {arguments.texts}: cannot be read as UTF-8 ({type(error).__name__})"
        ) from None
    cut = (line[start:end].strip() for line in lines for start, end in sentences(line))
    # the peer leaves no room for characters that a tokenizer passes over, and has no answer for them
    kept = [text for text in cut if any(character.isalpha() for character in text)][: arguments.sentences]
    if not kept:
        raise UserError(f"--texts {arguments.texts}: no sentence in it")
    return kept


def _timed(rows: Sequence[Row], repeats: int) -> list[list[float]]:
    """Seconds of each row, which take turns."""
    for row in rows:
        row.prepare()
        row.predict(row.texts[:WARM_UP])
    seconds: list[list[float]] = [[] for _ in rows]
    for repeat in range(repeats):
        for row, own in running.rotated(list(zip(rows, seconds, strict=True)), repeat):
            row.prepare()
            began = time.perf_counter()
            row.predict(row.texts)
            own.append(time.perf_counter() - began)
            tell(f"{repeat + 1}/{repeats} {row.task}, {row.name:<60} {own[-1]:8.2f} s")
    return seconds


def _measured(
    rows: Sequence[Row], seconds: Sequence[Sequence[float]], agreements: Sequence[Agreement]
) -> list[dict[str, Any]]:
    medians = [statistics.median(own) for own in seconds]
    ours = {(row.task, row.precision): median for row, median in zip(rows, medians, strict=True) if row.ours}
    return [
        {
            "task": row.task,
            "engine": row.engine,
            "batch": row.batch,
            "precision": row.precision,
            "seconds": median,
            "texts_per_second": len(row.texts) / median,
            "tokens_per_second": row.tokens / median,
            "flops": row.flops / median,
            "product_flops": row.product_flops,
            "peak_flops": row.peak_flops,
            "ratio": median / ours[row.task, row.precision],
            "padding": row.padding,
            "agreement": agreement._asdict(),
            "repeats": own,
        }
        for row, median, own, agreement in zip(rows, medians, seconds, agreements, strict=True)
    ]


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    header = (
        "task", "engine", "batch", "precision", "texts/s", "tokens/s", "ours ÷ it", *markdown.RATES,
        "padding", "words", "scores", "entities",
    )  # fmt: skip
    rows = []
    for row in result["rows"]:
        agreement = row["agreement"]
        entities = agreement["entities"]
        rows.append(
            (
                *(row[name] for name in ("task", "engine", "batch", "precision")),
                f"{row['texts_per_second']:,.0f}",
                f"{row['tokens_per_second']:,.0f}",
                f"{row['ratio']:.2f}",
                *markdown.rates(row["flops"], row["product_flops"], row["peak_flops"]),
                f"{row['padding']:.1%}",
                f"{agreement['words']:.2%}",
                f"{agreement['scores']:.1e}",
                "" if entities is None else f"{entities:.1%}",
            )
        )
    return "\n".join(markdown.table(header, 4, rows))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Texts a second of each row, a panel a task."""
    tasks = dict.fromkeys(row["task"] for row in result["rows"])
    figures.draw(
        [
            figures.Panel(
                f"{task}: texts a second",
                [
                    figures.Bar(
                        f"{row['engine']}, {row['batch']}, {row['precision']}",
                        row["texts_per_second"],
                        ours=row["engine"] == "bertinchamps",
                    )
                    for row in result["rows"]
                    if row["task"] == task
                ],
            )
            for task in tasks
        ],
        file,
    )


def main() -> None:
    """Entry point of `python -m benchmarks.prediction`."""
    arguments = parser().parse_args()
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is imported
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    running.run("prediction", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
