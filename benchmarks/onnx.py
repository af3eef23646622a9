"""python -m benchmarks.onnx: texts a second of PyTorch, onnxruntime, and onnxruntime with 8-bit weights.

Writes an untrained tagger of an architecture (or takes --model), exports it with `format=onnx format.int8=true`, and
lets the engines of `predict` label the same sentences, in one process, on as many threads, in turns. A row's figure is
its median, and "× torch" the median of the ratios of each turn. Labelling is all that `predict` does between reading
the model and writing the answers. "entities" is the share of entities that the row has in common with PyTorch; an
untrained tagger is undecided everywhere, so that 8 bits change more of its entities than of a trained one's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import figures, markdown, results, running
from benchmarks.sentences import documents
from benchmarks.serving import untrained
from bertinchamps.console import tell

ENGINES = ("torch", "onnx", "onnx_int8")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = running.parser("onnx", __doc__)
    words.add_argument("--model", metavar="DIR", type=Path, help="a model that finetune made (untrained)")
    words.add_argument("--arch", default="small", help="of an untrained model (%(default)s)")
    words.add_argument("--head", default="nested", choices=("flat", "nested"), help="of it (%(default)s)")
    words.add_argument("--sentences", type=int, default=400, help="to label (%(default)s)")
    words.add_argument("--batch", type=int, default=64, help="windows at once (%(default)s)")
    words.add_argument("--repeats", type=int, default=5, help="measurements of each row (%(default)s)")
    words.add_argument("--threads", type=int, help="(all cores)")
    results.add_options(words, "onnx.json", "texts a second of each engine")
    return words


def benchmark(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Export and measure all engines in turn.

    Args:
        arguments: of the command line.
        folder: for models that are made on the way.

    Returns:
        What goes into the JSON file.
    """
    import torch

    from bertinchamps.tasks.inputs import Input

    models = _models(arguments, folder)
    texts = [Input(each.name, each.text, each.name) for each in documents(arguments.sentences)]
    spent: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    found: dict[str, Any] = {}
    for repeat in range(-1, arguments.repeats):  # the first one warms up
        for engine in running.rotated(ENGINES, max(0, repeat)):
            began = time.perf_counter()
            with models[engine].reading():
                found[engine] = models[engine].predictions(texts, Counter())
            if repeat >= 0:
                spent[engine].append(time.perf_counter() - began)
                tell(f"{repeat + 1}/{arguments.repeats} {engine:<10} {spent[engine][-1]:8.2f} s")
    own = results.facts("onnx", (*results.PACKAGES, "onnxruntime"))
    what = {"model": str(arguments.model or "untrained"), "threads": torch.get_num_threads()}
    rows = [_row(engine, len(texts), spent, found) for engine in ENGINES]
    return {**own, **what, "texts": len(texts), "rows": rows}


def _models(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The model in each engine."""
    from bertinchamps.export import export
    from bertinchamps.schemas import EngineConfig, ExportConfig
    from bertinchamps.tasks.facts import read_facts
    from bertinchamps.tasks.saved_model import engine_runtime, folder_of, open_model

    model = folder_of(str(arguments.model or untrained(arguments.arch, folder, arguments.head)))
    form = {"name": "onnx", "int8": True, "seconds": 0.0}
    export(ExportConfig(model=str(model), output=str(folder / "exported"), format=form))
    facts, opened = read_facts(model), {}
    for engine in ENGINES:
        config = EngineConfig("cpu", "fp32", "off", arguments.threads, engine=engine)
        place = model if engine == "torch" else folder / "exported"
        opened[engine] = open_model(place, facts, arguments.batch, engine_runtime(config), engine=engine)
    return opened


def _row(
    engine: str, texts: int, spent: Mapping[str, list[float]], found: Mapping[str, Any]
) -> dict[str, Any]:
    from bertinchamps.exporting.onnx_subject import agreement

    shares = [agreement(one, other) for one, other in zip(found["torch"], found[engine], strict=True)]
    same, every = (sum(side) for side in zip(*shares, strict=True))
    ratios = [one / other for one, other in zip(spent["torch"], spent[engine], strict=True)]
    return {
        "engine": engine,
        "texts_per_second": texts / statistics.median(spent[engine]),
        "ratio": statistics.median(ratios),
        "agreement": same / every if every else 1.0,
        "repeats": spent[engine],
    }


def table(result: Mapping[str, Any]) -> str:
    """The rows for people, in Markdown."""
    header = ("engine", "texts/s", "× torch", "entities as torch")
    rows = [
        (row["engine"], f"{row['texts_per_second']:,.0f}", f"{row['ratio']:.2f}", f"{row['agreement']:.1%}")
        for row in result["rows"]
    ]
    return "\n".join(markdown.table(header, 1, rows))


def plot(result: Mapping[str, Any], file: Path) -> None:
    """Texts a second of each engine."""
    bars = [
        figures.Bar(row["engine"], row["texts_per_second"], ours=row["engine"] == "torch")
        for row in result["rows"]
    ]
    figures.draw([figures.Panel("texts a second", bars)], file)


def main() -> None:
    """Entry point of `python -m benchmarks.onnx`."""
    arguments = parser().parse_args()
    running.run("onnx", arguments, lambda folder: benchmark(arguments, folder), table, plot)


if __name__ == "__main__":
    main()
