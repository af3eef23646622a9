"""EDS-NLP's side of `benchmarks.peers`: one training by its trainer, in a process of its own.

The pipeline and the settings are those of EDS-NLP's tutorial "Training a NER model" (docs/tutorials/training-ner.md of
https://github.com/aphp/edsnlp): `eds.transformer` with windows of 128 subwords every 96, `eds.text_cnn` with kernels of
3, `eds.ner_crf` with mode "joint"; texts split at empty lines or after 2,000 words; batches of 4,096 subwords, AdamW,
5e-5 for the encoder and 3e-4 for the rest, linear with a warm-up of a tenth, gradients clipped to 1, 2,000 steps, ten
validations. Four things differ. The trainer keeps the last weights; here its callback keeps those of the validation
with the best exact F1 on dev, in memory, and nothing is written on the way. Validation reads EVALUATION documents at
once, does not measure its own speed, and computes in the precision of training. Training documents are read and split
once, not again in each epoch. Preprocessing is not moved to another process, so that all systems have the same threads.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peers_systems import with_spans
from bertinchamps.tasks.formats import brat

EVALUATION = 32  # documents that are predicted at once
VALIDATIONS = 10
GOLD = "gold_spans"
ENCODER = "ner[.]embedding[.]embedding"  # the names of its weights


class Best:
    """Keeps the weights with the best exact F1 on dev; the trainer calls it after each validation."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._weights: dict[str, Any] = {}
        self.f1, self.step = -1.0, 0

    def __call__(self, metrics: Mapping[str, Any]) -> None:
        f1 = float(metrics["validation"]["ner"]["micro"]["f"])
        if f1 > self.f1:
            self.f1, self.step = f1, int(metrics["step"])
            self._weights = {name: weight.clone() for name, weight in self._module.state_dict().items()}

    def restore(self) -> None:
        """Put the kept weights back."""
        self._module.load_state_dict(self._weights)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    words = argparse.ArgumentParser(prog="python -m benchmarks.peers_edsnlp", description=__doc__)
    words.add_argument("--files", type=Path, required=True, help="brat folders train, dev and test")
    words.add_argument("--folder", type=Path, required=True, help="for what the trainer writes")
    words.add_argument("--predictions", type=Path, required=True, help="a brat folder to write")
    words.add_argument("--model", required=True, help="the encoder")
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--threads", type=int)
    words.add_argument("--steps", type=int, default=2000)
    words.add_argument("--rate", type=float, default=5e-5)
    words.add_argument("--precision", choices=("no", "bf16"), default="no")
    return words


def pipeline(model: str) -> Any:
    """The untrained pipeline."""
    import edsnlp
    import edsnlp.pipes as eds

    nlp = edsnlp.blank("eds")
    transformer = eds.transformer(model=model, window=128, stride=96)
    recogniser = eds.ner_crf(
        mode="joint",
        target_span_getter=GOLD,
        span_setter=["ents", "*"],
        infer_span_setter=True,
        embedding=eds.text_cnn(kernel_sizes=[3], embedding=transformer),
    )
    nlp.add_pipe(recogniser, name="ner")
    return nlp


def optimizer(nlp: Any, steps: int, rate: float) -> Any:
    """AdamW, with one rate for the encoder and another one for what is above."""
    from edsnlp.training import ScheduledOptimizer

    def linear(start: float, highest: float) -> dict[str, Any]:
        return {"@schedules": "linear", "warmup_rate": 0.1, "start_value": start, "max_value": highest}

    groups = [
        {"selector": ENCODER, "lr": linear(0.0, rate)},
        {"selector": ".*", "lr": linear(3e-4, 3e-4)},
    ]
    return ScheduledOptimizer(optim="adamw", module=nlp, total_steps=steps, groups=groups)


def scorer(precision: str) -> Any:
    """Counts exact entities on dev, for `Best`."""
    from edsnlp.metrics.ner import NerExactMetric
    from edsnlp.training.trainer import GenericScorer

    metric = NerExactMetric(span_getter=GOLD)
    return GenericScorer(batch_size=EVALUATION, autocast=autocast(precision), speed=False, ner=metric)


def train(nlp: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train the pipeline and give it the weights that were best on dev.

    Long because it is EDS-NLP's own configuration, in the order of its tutorial.

    Returns:
        The facts of `peers_systems.Training`.
    """
    import edsnlp
    import edsnlp.pipes as eds
    from edsnlp.training import TrainingData
    from edsnlp.training import train as train_pipeline

    best = Best(nlp.get_pipe("ner"))
    texts = {
        split: edsnlp.data.read_standoff(arguments.files / split, span_setter=GOLD)
        for split in ("train", "dev")
    }
    read = list(texts["train"].map(eds.split(nlp=None, max_length=2000, regex="\n\n+")))
    began = time.perf_counter()
    train_pipeline(
        nlp=nlp,
        seed=arguments.seed,
        max_steps=arguments.steps,
        validation_interval=max(1, arguments.steps // VALIDATIONS),
        train_data=TrainingData(
            data=edsnlp.data.from_iterable(read),
            batch_size="4096 tokens",
            pipe_names=["ner"],
            shuffle="dataset",
        ),
        val_data=texts["dev"],
        scorer=scorer(arguments.precision),
        optimizer=optimizer(nlp, arguments.steps, arguments.rate),
        grad_max_norm=1.0,
        mixed_precision=arguments.precision,
        output_dir=arguments.folder / "edsnlp",
        save_model=False,
        logger=False,
        on_validation_callback=best,
    )
    seconds = time.perf_counter() - began
    best.restore()
    return {"training_seconds": seconds, "dev": best.f1, "chosen": best.step, "updates": arguments.steps}


def autocast(precision: str) -> Any:
    """The type of numbers in predictions, as EDS-NLP's streams name it."""
    import torch

    return torch.bfloat16 if precision == "bf16" else False


def predict(nlp: Any, arguments: argparse.Namespace) -> None:
    """Write the test documents with the entities that the pipeline finds in them."""
    documents = list(brat.read_texts(arguments.files / "test"))
    answers = nlp.pipe([document.text for document in documents]).set_processing(
        batch_size=EVALUATION, autocast=autocast(arguments.precision)
    )
    for document, answer in zip(documents, answers, strict=True):
        spans = [(span.start_char, span.end_char, span.label_) for span in answer.spans.get(GOLD, ())]
        brat.write_document(arguments.predictions, with_spans(document, spans))


def main() -> None:
    """Entry point of `python -m benchmarks.peers_edsnlp`; the last line that it prints is JSON."""
    arguments = parser().parse_args()
    import torch
    from confit.utils.random import set_seed

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    set_seed(arguments.seed)  # before the weights of new layers are drawn
    nlp = pipeline(arguments.model)
    facts = train(nlp, arguments)
    predict(nlp, arguments)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
