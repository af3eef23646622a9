"""`format=onnx`: a graph with dynamic batch and length, which onnxruntime computes.

The graph is what a head's `graph` says (`model/heads/__init__.py`): of flat taggers, classifiers and masked language
models that of the stock class, with the stock names (`input_ids`, `attention_mask`, `logits`), so that other programs
open it; of a nested tagger the scores of all spans, with the places of words as further inputs; of a classifier of long
texts the logits of texts, with the rows of each as a further input. What follows the graph, from the choice of words to
thresholds, is that of `predict`.

It is written by `torch.onnx.export(dynamo=True)`, through torch.export: the exporter that PyTorch maintains, the same
in 2.11 and 2.13; the older one, which traces TorchScript, is deprecated. It needs `onnxscript`. The model is in
evaluation mode and in float32, without gradients, so that attention is PyTorch's fused function, which becomes plain
products; padding is masked, and no position is left out (pretraining computes masked positions alone). The example is a
padded batch that the model's own predictor made, so that a head need not say what its inputs look like.

Before anything is kept, texts go through both, in batches of several sizes and lengths, and all numbers are compared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.console import counted
from bertinchamps.data.sources.demo import clinical_notes
from bertinchamps.errors import UserError
from bertinchamps.exporting import Source, exporters
from bertinchamps.exporting.onnx_comparing import BATCHES, Both, example_of, of_many_lengths, speeds_of
from bertinchamps.exporting.onnx_graph import write_graph, write_int8
from bertinchamps.exporting.onnx_subject import Subject, agreement, subject_of
from bertinchamps.model.heads.embeddings import POOLS
from bertinchamps.model.onnx_model import FACTS, FILES, FORMAT, OnnxModel
from bertinchamps.schemas import RuntimeConfig
from bertinchamps.tasks.kinds import kinds
from bertinchamps.textfiles import json_lines
from bertinchamps.training.runtime import Runtime, build_runtime

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
FEWEST_TEXTS, MOST_TEXTS = 100, 400
READ_AT_ONCE = 32  # texts at once, when speed is measured


def _problems(settings: Mapping[str, Any]) -> list[str]:
    what, pool = settings.get("what", "model"), settings.get("pool", "mean")
    found = [] if what in ("model", "embeddings") else [f"format.what={what}: one of model, embeddings"]
    if pool not in POOLS:
        found.append(f"format.pool={pool}: one of {', '.join(POOLS)}")
    if settings.get("texts") and not Path(settings["texts"]).expanduser().is_file():
        found.append(f"format.texts={settings['texts']}: no such file")
    for key, least in (("seconds", 0.0), ("bound", 1e-7)):
        if settings.get(key, 1.0) < least:
            found.append(f"format.{key}={settings[key]}: must be at least {least:g}")
    return found


@exporters.register("onnx", check=_problems)
class Onnx:
    """A graph for onnxruntime.

    Args:
        what: model: with its head; embeddings: the encoder alone.
        pool: of embeddings: mean (a vector a text) or none (a vector a token).
        int8: write a second file with weights of 8 bits.
        texts: a file with a text a line, to compare and to time on; None: those of the run's dev split, and
            invented notes where it has few.
        seconds: to time each engine; 0: no timing.
        bound: the largest difference from PyTorch's numbers that is accepted, as a share of the largest of them.
    """

    def __init__(
        self,
        what: str = "model",
        pool: str = "mean",
        int8: bool = False,
        texts: str | None = None,
        seconds: float = 4.0,
        bound: float = 1e-3,
    ) -> None:
        self._what, self._pool, self._int8 = what, pool, int8
        self._texts, self._seconds, self._bound = texts, seconds, bound

    def problems(self, source: Source) -> list[str]:
        """Packages that are missing, and models that have no graph."""
        missing = [name for name in PACKAGES if not _installed(name)]
        found = (
            [f"format=onnx: needs {', '.join(missing)}: pip install 'bertinchamps[onnx]'"] if missing else []
        )
        if self._what == "model" and source.facts is not None:
            kind = kinds.build(source.facts.kind)
            if kind.reads_entities:
                found.append(
                    f"format=onnx: model={source.folder} reads entities beside texts (kind {kind.name}), which has no "
                    "graph; format.what=embeddings exports its encoder"
                )
        return found

    def export(self, source: Source, place: Path) -> list[str]:
        """Write the files, compare them with PyTorch, and measure.

        Raises:
            UserError: the numbers differ by more than the bound.
        """
        subject, texts = subject_of(source, self._what, self._pool), self._own_texts(source)
        runtime = build_runtime(RuntimeConfig(device="cpu", precision="fp32", compile="off"))
        few = of_many_lengths(texts)
        with torch.inference_mode(False), torch.no_grad():
            example = example_of(subject, few)
            write_graph(subject.model, example, place / FILES["onnx"])
        _write_beside(source, subject, {"what": self._what, "pool": self._pool}, place)
        open_file = partial(OnnxModel, head=subject.head, threads=torch.get_num_threads())
        engines: dict[str, nn.Module] = {"onnx": open_file(place / FILES["onnx"])}
        lines = [self._compared(subject, engines["onnx"], few, runtime)]
        if self._int8:
            write_int8(place / FILES["onnx"], place / FILES["onnx_int8"])
            engines["onnx_int8"] = open_file(place / FILES["onnx_int8"])
        return [*lines, *self._measured(subject, engines, texts, place, runtime)]

    def _own_texts(self, source: Source) -> list[str]:
        """The texts to compare and to time on."""
        if self._texts:
            lines = Path(self._texts).expanduser().read_text(encoding="utf-8").splitlines()
            if texts := [line for line in lines if line.strip()][:MOST_TEXTS]:
                return texts
            raise UserError(f"format.texts={self._texts}: no text in it")
        texts = []
        file = source.run / "predictions" / "dev.jsonl" if source.run else None
        if file is not None and file.is_file():
            rows = (row for _, row in json_lines.read(file))
            texts = [text for row in rows if isinstance(text := row.get("text"), str) and text.strip()]
        notes = (text for text, _ in clinical_notes(seed=1))
        return [*texts[:MOST_TEXTS], *islice(notes, max(0, FEWEST_TEXTS - len(texts)))]

    def _compared(self, subject: Subject, exported: nn.Module, texts: Sequence[str], runtime: Runtime) -> str:
        """Raise UserError where numbers differ; return what was compared."""
        both = Both(subject.model, exported)
        with torch.inference_mode(), runtime.arithmetic():
            for batch in BATCHES:
                subject.reader(batch)(both, texts)
        share = both.difference / max(1.0, both.largest)
        small, large = min(both.shapes), max(both.shapes)
        what = (
            f"{len(both.shapes)} shapes from {small[0]} × {small[1]} to {large[0]} × {large[1]} subwords, "
            f"{both.padded} of {both.calls} batches padded: the largest difference from PyTorch is "
            f"{both.difference:.1e} of numbers up to {both.largest:.1f}"
        )
        if not share <= self._bound:
            raise UserError(
                f"format=onnx: {what}, a share of {share:.1e}, which is above format.bound={self._bound:g}; "
                "nothing was written"
            )
        return f"compared   {what} (bound: a share of {self._bound:g})"

    def _measured(
        self,
        subject: Subject,
        engines: Mapping[str, nn.Module],
        texts: Sequence[str],
        place: Path,
        runtime: Runtime,
    ) -> list[str]:
        """A line for each engine: size of the file, speed, and how far its predictions are those of PyTorch."""
        models = {"torch": subject.model, **engines}
        answers = subject.reader(READ_AT_ONCE)
        with torch.inference_mode(), runtime.arithmetic():
            given = {name: answers(model, texts) for name, model in models.items()}
            speeds = speeds_of(models, answers, texts, self._seconds)
        weights = sum(each.numel() * each.element_size() for each in subject.model.parameters())
        lines = []
        for name in models:
            size = weights if name == "torch" else (place / FILES[name]).stat().st_size
            shared = [agreement(one, other) for one, other in zip(given["torch"], given[name], strict=True)]
            same, every = (sum(side) for side in zip(*shared, strict=True))
            speed = ""
            if speeds:
                speed = f", {speeds[name]:,.0f} texts/s ({speeds[name] / speeds['torch']:.2f} × torch)"
            share = same / every if every else 1.0
            lines.append(f"{name:<10} {size / 1e6:,.1f} MB{speed}, {share:.2%} of the predictions as torch")
        threads = counted(torch.get_num_threads(), "thread")
        lines.append(
            f"measured   on {counted(len(texts), 'text')} with {threads} of this processor, float32 for torch"
        )
        return lines


def _write_beside(source: Source, subject: Subject, settings: Mapping[str, str], place: Path) -> None:
    """What others need beside the graph: configuration, tokenizer, task.json and onnx.json."""
    subject.model.model.config.save_pretrained(place)
    source.tokenizer().save_pretrained(place)
    if source.facts is not None and settings["what"] == "model":
        source.facts.save(place)
    facts = {"format": FORMAT, "head": subject.head, **settings, "longest": subject.longest}
    (place / FACTS).write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _installed(name: str) -> bool:
    return find_spec(name) is not None
