"""A fine-tuned model on disk, opened to label new texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.manifests import refuse_damaged
from bertinchamps.model.adapters.bases import SharedBases
from bertinchamps.model.adapters.saved import base_if_moved, open_saved
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.model.onnx_model import AUTO, TORCH, engine_of, open_graph, refuse_bare_graph
from bertinchamps.schemas import EngineConfig, MergeConfig, PredictConfig
from bertinchamps.tasks.facts import FILE, TaskFacts, read_facts
from bertinchamps.tasks.inputs import Input
from bertinchamps.tasks.kinds import Kind, Predictor, kinds
from bertinchamps.tasks.tagging.predictor import EntityPredictor
from bertinchamps.training.run_files import SUMMARIES, last_finished
from bertinchamps.training.runtime import Runtime, build_runtime

Finder = Callable[[Sequence[Any]], list[AnnotatedText]]  # of the entities of records with a name and a text


@dataclass(frozen=True)
class SavedModel:
    """A model that is ready to label texts.

    Attributes:
        model: on the runtime's device, in evaluation mode.
        predictor: turns texts into the model's inputs, and the model's logits into predictions.
        runtime: device and precision.
        finder: finds the entities of the texts first; None: the texts have what the model needs.
    """

    model: nn.Module
    predictor: Predictor
    runtime: Runtime
    finder: Finder | None = None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """The context for predictions: no gradients, and the runtime's precision."""
        with torch.inference_mode(), self.runtime.arithmetic():
            yield

    def predictions(self, texts: Sequence[Input], cut: Counter[str]) -> Sequence[Any]:
        """A prediction for each text; adds the number of truncated texts to `cut`."""
        if self.finder is not None:
            found = self.finder(texts)
            texts = [
                given._replace(entities=document.entities)
                for given, document in zip(texts, found, strict=True)
            ]
        return self.predictor.predict(self.model, texts, cut)


def engine_runtime(config: EngineConfig, folder: Path | None = None) -> Runtime:
    """The runtime of predictions; onnxruntime computes on the processor, and what it does not in float32.

    Args:
        config: the settings.
        folder: of the model, which says what runtime.engine=auto means; None: PyTorch.

    Raises:
        UserError: the directory wants onnxruntime, and other settings contradict it.
    """
    engine = config.engine if folder is None else engine_of(folder, config.engine)
    if engine in (AUTO, TORCH):
        return build_runtime(config)
    if problems := refused_by_graphs(replace(config, engine=engine)):
        raise UserError("\n".join(problems))
    return build_runtime(replace(config, device="cpu", precision="fp32", compile="off"))


def refused_by_graphs(config: EngineConfig) -> list[str]:
    """Settings that contradict an engine of onnxruntime, in the user's key names."""
    only = (
        ("device", config.device, ("auto", "cpu")),
        ("precision", config.precision, ("auto", "fp32")),
        ("compile", config.compile, ("auto", "off")),
    )
    return [
        f"runtime.{key}={value}: runtime.engine={config.engine} computes in float32 on the processor; leave it out"
        for key, value, taken in only
        if value not in taken
    ]


def entity_finder(
    name: str,
    batch: int,
    device: torch.device,
    engine: str = TORCH,
    base: str | None = None,
    shared: SharedBases | None = None,
) -> Finder:
    """A function that finds the entities of records with a name and a text, with a fine-tuned model.

    Args:
        name: the model's directory, or that of its run.
        batch: windows that go through the model at once.
        device: of the model.
        engine: what computes, AUTO or one of `model.onnx_model.ENGINES`.
        base: of an adapter whose base is not in the directory where it was.
        shared: bases of adapters in memory, as for `open_model`.

    Raises:
        UserError: no model that finds entities is there, or it cannot be read.
    """
    folder = folder_of(name)
    facts = read_facts(folder)
    model, predictor = _opened(folder, facts, batch, device, base_if_moved(folder, base), shared, engine)
    if not isinstance(predictor, EntityPredictor):
        raise UserError(f"{name}: this model does not find entities; give one of task=ner or the like")

    def found(records: Sequence[Any]) -> list[AnnotatedText]:
        with torch.inference_mode():
            return predictor.label(model, [(record.name, record.text) for record in records])

    return found


def _opened(
    folder: Path,
    facts: TaskFacts,
    batch: int,
    device: torch.device,
    base: str | None = None,
    shared: SharedBases | None = None,
    engine: str = TORCH,
) -> tuple[nn.Module, Predictor]:
    kind, engine = kinds.build(facts.kind), engine_of(folder, engine)
    model: nn.Module
    if engine == TORCH:
        refuse_bare_graph(folder)
        model, _ = open_saved(folder, partial(kind.build_model, facts), base, shared=shared)
    else:
        model, device = open_graph(folder, engine), torch.device("cpu")
    predictor = kind.build_predictor(facts, open_tokenizer(str(folder)), batch, device)
    return model.to(device).eval(), predictor


def open_model(
    folder: Path,
    facts: TaskFacts,
    batch: int,
    runtime: Runtime,
    base: str | None = None,
    shared: SharedBases | None = None,
    ner: str | None = None,
    engine: str = TORCH,
) -> SavedModel:
    """Open a fine-tuned model.

    Args:
        folder: the model's directory.
        facts: the content of task.json.
        batch: windows or texts that go through the model at once.
        runtime: device and precision.
        base: of an adapter: the encoder that it was trained on; None: where the adapter remembers it. Of `ner`, too,
            if its base is not where it was.
        shared: bases of adapters in memory: models that are opened with the same one share their base's weights.
        ner: a model that finds the entities of the texts first; None: the texts have what the model needs.
        engine: what computes, AUTO or one of `model.onnx_model.ENGINES`; of both models.

    Raises:
        UserError: the model, or the base of an adapter, cannot be read, or was not exported for the engine.
    """
    finder = None if ner is None else entity_finder(ner, batch, runtime.device, engine, base, shared)
    opened = _opened(folder, facts, batch, runtime.device, base, shared, engine)
    return SavedModel(*opened, runtime, finder)


def model_folder(config: PredictConfig | MergeConfig) -> Path:
    """The directory that `model=` means.

    Raises:
        UserError: no fine-tuned model is there, or a damaged one.
    """
    if config.model == "last":
        run = last_finished(config.runs_dir, "finetune")
        if run is None:
            raise UserError(f"model=last: no finished fine-tuning run in {config.runs_dir}; give model=RUN")
        return folder_of(str(run))
    try:
        return folder_of(config.model)
    except UserError as error:
        raise UserError(f"model={error}") from error


def refuse_useless_ner(config: PredictConfig, kind: Kind) -> None:
    """Raise UserError for `ner=` beside a model that does not read entities."""
    if config.ner is not None and not kind.reads_entities:
        raise UserError(
            f"ner={config.ner}: model={config.model} reads texts, not entities, so nothing would use what ner= finds; "
            "leave ner= out, or give a model of task=relations"
        )


def folder_of(name: str) -> Path:
    """The directory of a fine-tuned model, given as that directory or as its run's.

    Raises:
        UserError: no fine-tuned model is there, or a damaged one.
    """
    found = _folder_with(name, FILE)
    if found is None:
        raise UserError(f"{name}: no model that finetune made (no {FILE}, and no model/{FILE} there)")
    return found


def folder_of_any(name: str, runs_dir: str) -> Path:
    """The directory of a model of either command that `model=` means: last, that directory, or its run's.

    Raises:
        UserError: no model is there, or a damaged one.
    """
    if name == "last":
        run = last_finished(runs_dir, *SUMMARIES)
        if run is None:
            raise UserError(f"model=last: no finished run in {runs_dir}; give model=RUN")
        name = str(run)
    found = _folder_with(name, "config.json", FILE)
    if found is None:
        raise UserError(f"model={name}: no model is there (no config.json, and no model/config.json)")
    return found


def _folder_with(name: str, *files: str) -> Path | None:
    """`model/` of a directory, or the directory itself, whichever holds one of the files first.

    Raises:
        UserError: its files are not those that were written.
    """
    folder = Path(name).expanduser()
    for candidate in (folder / "model", folder):
        if any((candidate / file).is_file() for file in files):
            refuse_damaged(candidate)
            return candidate
    return None
