"""quantise: weights of 8 bits, computed by onnxruntime; the products that suffer most may stay in float32."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.compressing import Done, Material, steps
from bertinchamps.console import counted
from bertinchamps.durable import write_json
from bertinchamps.exporting import exporters
from bertinchamps.exporting.onnx_graph import write_int8
from bertinchamps.exporting.onnx_products import (
    Product,
    Sensitivity,
    difference,
    fewest_kept,
    numbers_of,
    sensitivities,
    sensitivity_lines,
)
from bertinchamps.exporting.onnx_subject import subject_of
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.model.onnx_model import ENGINE, FACTS, FILES, OnnxModel
from bertinchamps.schemas import FinetuneBatchConfig
from bertinchamps.tasks.facts import read_facts
from bertinchamps.tasks.kinds import kinds
from bertinchamps.training.sparsity.masks import FACTS as SPARSITY

NAME, INT8 = "quantise", "onnx_int8"
TABLE = "sensitivity.json"
READ_AT_ONCE = 32  # texts at once, when numbers are compared
BEGINNING = 1_000  # characters of a text that are compared: documents may be long


def _problems(settings: Mapping[str, Any]) -> list[str]:
    keep, bound, texts = settings.get("keep", 0), settings.get("bound"), settings.get("texts", 32)
    found = [] if keep >= 0 else [f"steps: {NAME}: keep={keep}: must be at least 0"]
    if texts < 1:
        found.append(f"steps: {NAME}: texts={texts}: must be at least 1")
    if bound is not None and bound <= 0:
        found.append(f"steps: {NAME}: bound={bound}: must be above 0")
    if bound is not None and keep > 0:
        found.append(
            f"steps: {NAME}: keep={keep} beside bound={bound}: give one; bound chooses how many stay"
        )
    return found


@steps.register(NAME, check=_problems)
class Quantise:
    """Weights of 8 bits, a scale a column; activations as they come, so that nothing is calibrated.

    Args:
        keep: products that stay in float32, the most sensitive ones.
        bound: of the mean difference of the logits from float32; as few products stay in float32 as keep it.
        texts: of the examples (`Material.judging`), on whose beginnings logits are compared.
        scores: how the dev score changes with each product, too, which takes an evaluation for each.
    """

    def __init__(
        self, keep: int = 0, bound: float | None = None, texts: int = 32, scores: bool = False
    ) -> None:
        self.keep, self.bound, self.texts, self.scores = keep, bound, texts, scores

    def problems(self, material: Material) -> list[str]:
        name, chain = material.config.model, [str(node["name"]) for node in material.config.steps]
        found = []
        if NAME in chain[:-1]:
            found.append(
                f"steps: {NAME} comes last, because what it writes can only be run: {', '.join(chain)}"
            )
        if material.source.facts is None:
            return [
                *found,
                f"model={name}: steps: {NAME} takes models of finetune; a masked language model gets weights of 8 bits "
                "by `python -m bertinchamps.export format=onnx format.int8=true`",
            ]
        return [*found, *exporters.build("onnx").problems(material.source), *material.text_problems()]

    def apply(self, folder: Path, material: Material, place: Path) -> Done:
        source = material.at(folder)
        told = exporters.build("onnx", seconds=0.0).export(source, place)
        graph, small = place / FILES["onnx"], place / FILES[INT8]
        subject = subject_of(source, "model", "mean")
        answers = subject.reader(READ_AT_ONCE)
        texts = [text[:BEGINNING] for text in material.texts()[: self.texts]]
        opened = partial(OnnxModel, head=subject.head, threads=torch.get_num_threads())
        score = self._score(place, material) if self.scores else None
        order = sensitivities(graph, small, opened, answers, texts, score)
        mine = numbers_of(opened(graph), answers, texts)

        def gap_of(kept: Collection[str]) -> tuple[float, float]:
            write_int8(graph, small, kept=list(kept))
            return difference(mine, numbers_of(opened(small), answers, texts))

        if self.bound is None:
            kept = [each.product for each in order[: self.keep]]
        else:
            kept = fewest_kept(order, self.bound, gap_of)
        mean, largest = gap_of([product.node for product in kept])
        graph.unlink()
        _say_engine(place)
        if (folder / SPARSITY).is_file():  # zeros are zeros in 8 bits, too
            shutil.copy2(folder / SPARSITY, place)
        highest = max(float(numbers.abs().max()) for numbers in mine)
        write_json(place / TABLE, _record(order, kept, mean, largest, highest, len(texts)))
        parameters = sum(each.numel() for each in subject.model.parameters())
        facts = {
            "products": len(order), "kept": [each.name for each in kept], "mean": mean, "largest": largest,
            "parameters": parameters,
        }  # fmt: skip
        lines = [
            *[line for line in told if line.startswith("compared")],
            *sensitivity_lines(order),
            f"quantised  {len(order) - len(kept)} of {counted(len(order), 'product')} in 8 bits, {len(kept)} kept; the "
            f"logits of {counted(len(texts), 'text')} differ by {mean:.4f} on average and by {largest:.3f} at the "
            f"most, of numbers up to {highest:.1f}",
        ]
        return Done(facts, lines, INT8)

    def _score(self, place: Path, material: Material) -> Callable[[nn.Module], float]:
        """The dev score of a model that counts."""
        facts, config = read_facts(place), material.config
        kind = kinds.build(facts.kind)
        predictor = kind.build_predictor(facts, open_tokenizer(str(place)), READ_AT_ONCE, torch.device("cpu"))
        size = FinetuneBatchConfig(size=READ_AT_ONCE, micro_batch=READ_AT_ONCE, evaluation=READ_AT_ONCE)
        task = kind.build_task(material.examples.splits, predictor, size, config.seed)
        metric = material.settings.selection.metric or task.metric

        def score(model: nn.Module) -> float:
            with torch.inference_mode():
                return float(task.evaluate(model)[metric])

        return score


def _say_engine(place: Path) -> None:
    """Write what computes the model to onnx.json, where `predict` and `serve` find it."""
    file = place / FACTS
    write_json(file, {**json.loads(file.read_text(encoding="utf-8")), ENGINE: INT8})


def _record(
    order: list[Sensitivity],
    kept: list[Product],
    mean: float,
    largest: float,
    highest: float,
    texts: int,
) -> dict[str, Any]:
    names = {product.name for product in kept}
    return {
        "what": "logits of each product alone in 8 bits, less those of float32",
        "texts": texts,
        "highest_logit": highest,
        "mean": mean,
        "largest": largest,
        "products": [
            {
                "name": each.product.name,
                "shape": list(each.product.shape),
                "mean": each.mean,
                "largest": each.largest,
                **({} if each.score is None else {"score": each.score}),
                "kept": each.product.name in names,
            }
            for each in order
        ],
    }
