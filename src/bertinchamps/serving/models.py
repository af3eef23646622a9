"""The models of the service, and what each of them can do: one function of texts for each path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.model.adapters.bases import SharedBases
from bertinchamps.schemas import ServeConfig
from bertinchamps.tasks.facts import FILE, TaskFacts, read_facts
from bertinchamps.tasks.inputs import Input, Inputs
from bertinchamps.tasks.kinds import FindsEntities, Kind, ReadsWholeTexts, kinds
from bertinchamps.tasks.pretrained_model import open_pretrained
from bertinchamps.tasks.saved_model import SavedModel, engine_runtime, folder_of_any, open_model
from bertinchamps.tasks.several import names_of, own_name
from bertinchamps.training.runtime import Runtime

Pair = tuple[str, str | None]  # a text, and the second one of a pair
Work = Callable[[Sequence[Pair]], Sequence[Any]]  # texts → an answer for each, as JSON has it
NER, CLASSIFY, FILL_MASK, EMBED = "ner", "classify", "fill-mask", "embed"
# What a model must be for a path, for messages.
NEEDS = {
    NER: "finds entities (task=ner or the like)",
    CLASSIFY: "classifies texts (task=classification or the like)",
    FILL_MASK: "fills masks (a run of pretrain)",
    EMBED: "embeds texts (a run of pretrain, or a graph of format.what=embeddings)",
}
MOST_PROPOSALS = 20  # for a mask


@dataclass(frozen=True)
class Served:
    """One model.

    Attributes:
        name: of its run; it is in requests and answers.
        abilities: path → what it does.
        labels: of entities or classes.
        pairs: whether it reads pairs of texts.
        longest: subwords of a window.
        mask: how a mask is written, if it fills masks.
    """

    name: str
    abilities: Mapping[str, Work]
    labels: tuple[str, ...] = ()
    pairs: bool = False
    longest: int = 0
    mask: str | None = None


@dataclass
class _Opening:
    config: ServeConfig
    shared: SharedBases = field(default_factory=SharedBases)

    def runtime(self, folder: Path) -> Runtime:
        """Of the model in a directory."""
        return engine_runtime(self.config.runtime, folder)


def folder_of_model(name: str, runs_dir: str) -> Path:
    """The directory of one model that `model=` names.

    Raises:
        UserError: no model is there, or the service has no path for what it does.
    """
    folder = folder_of_any(name, runs_dir)
    if (folder / FILE).is_file():
        kind = kinds.build(read_facts(folder).kind)
        if not isinstance(kind, FindsEntities | ReadsWholeTexts):
            raise UserError(
                f"model={name}: its kind of task, {kind.name}, has no path in the service; label with "
                "python -m bertinchamps.predict"
            )
    return folder


def open_models(config: ServeConfig) -> list[Served]:
    """Open all models.

    Raises:
        UserError: one cannot be read.
    """
    opening = _Opening(config)
    opened: list[Served] = []
    for given in names_of(config.model):
        folder = folder_of_model(given, config.runs_dir)
        name = own_name(folder, [model.name for model in opened])
        has_task = (folder / FILE).is_file()
        opened.append((_with_a_task if has_task else _without_a_task)(opening, folder, name))
    return opened


def warm_up(models: Sequence[Served]) -> None:
    """Put a text through each model, so that the first request does not wait for what is imported at first use."""
    for model in models:
        for work in model.abilities.values():
            work([(f"Une toux. {model.mask or ''}", "Une fièvre." if model.pairs else None)])


def _with_a_task(opening: _Opening, folder: Path, name: str) -> Served:
    config, facts = opening.config, read_facts(folder)
    kind, engine = kinds.build(facts.kind), config.runtime.engine
    model = open_model(
        folder, facts, config.batch, opening.runtime(folder), config.base, opening.shared, engine=engine
    )
    abilities: dict[str, Work] = {}
    if isinstance(kind, FindsEntities):
        abilities[NER] = partial(_entities, kind, model)
    if isinstance(kind, ReadsWholeTexts):
        abilities[CLASSIFY] = partial(_classes, cast(Kind, kind), facts, model)
    return Served(name, abilities, facts.labels, facts.pairs, facts.max_length)


def _without_a_task(opening: _Opening, folder: Path, name: str) -> Served:
    config = opening.config
    model = open_pretrained(
        folder, config.batch, opening.runtime(folder), config.runtime.engine, proposals=MOST_PROPOSALS
    )
    abilities: dict[str, Work] = {}
    filler, embedder = model.filler, model.embedder
    if filler is not None:
        abilities[FILL_MASK] = lambda given: [
            [[proposal._asdict() for proposal in mask] for mask in masks]
            for masks in filler.fill([text for text, _ in given])
        ]
    if embedder is not None:
        abilities[EMBED] = lambda given: [own.tolist() for own in embedder.embed([text for text, _ in given])]
    mask = None if filler is None else filler.predictor.mask
    return Served(name, abilities, longest=model.longest, mask=mask)


def _inputs(given: Sequence[Pair]) -> list[Input]:
    return [Input("", text, f"text {number}", pair) for number, (text, pair) in enumerate(given, start=1)]


def _entities(kind: FindsEntities, model: SavedModel, given: Sequence[Pair]) -> list[list[dict[str, Any]]]:
    with model.reading():
        predictions = model.predictions(_inputs(given), Counter())
    return [_spans(kind.found(prediction)) for prediction in predictions]


def _spans(document: AnnotatedText) -> list[dict[str, Any]]:
    return [
        {
            "start": entity.start,
            "end": entity.end,
            "label": entity.label,
            "text": document.text[entity.start : entity.end],
            "confidence": confidence,
        }
        for entity, confidence in document.by_place()
    ]


def _classes(kind: Kind, facts: TaskFacts, model: SavedModel, given: Sequence[Pair]) -> list[dict[str, Any]]:
    texts = _inputs(given)
    with model.reading():
        predictions = model.predictions(texts, Counter())
    no_file = Inputs(lambda: iter(()))
    return [
        kind.as_object(facts, text, prediction, no_file)
        for text, prediction in zip(texts, predictions, strict=True)
    ]
