"""How a protocol becomes a module of Hugging Face's `evaluate`, without `evaluate` being imported before need.

`evaluate.load(path)` imports a copy of the file and takes the first class among its names that derives from
its base, so there is one class a file, and `config_name` chooses among protocols that share a file.
Importing `evaluate` takes seconds, so that class is built when it is asked for, or at once in such a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from bertinchamps.contract import AnnotatedText, Entity

Schema = str | list[Any] | dict[str, Any]  # an Arrow type's name; [of what]; or {field: of what}

DOCUMENT: Schema = {
    "name": "string",
    "text": "string",
    "entities": [{"label": "string", "fragments": [["int64"]]}],
}
DOCUMENTS_DESCRIPTION = """
Args:
    predictions: predicted documents, each {"name", "text", "entities": [{"label", "fragments": [[start, end]]}]}.
    references: gold documents, of the same shape.
"""


class Protocol(NamedTuple):
    """What one configuration of a module takes and gives.

    Attributes:
        example: schema of one reference and of one prediction.
        scores: references and predictions to scores.
    """

    example: Schema
    scores: Callable[[list[Any], list[Any]], Mapping[str, Any]]


def register_evaluate_module(
    namespace: dict[str, Any],
    name: str,
    protocols: Mapping[str, Protocol],
    description: str,
    inputs_description: str,
    citation: str,
) -> None:
    """Let a protocol's file have a class called `name`, which derives from `evaluate.Metric`.

    Args:
        namespace: `globals()` of the file, which gets a `__getattr__` (PEP 562).
        name: of the class.
        protocols: by `config_name`; "default" is what `evaluate` takes where none is given.
        description, inputs_description, citation: what `evaluate` shows.
    """
    texts = {"description": description, "inputs_description": inputs_description, "citation": citation}

    def attribute(asked: str) -> Any:
        if asked != name:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {asked!r}")
        namespace[name] = _metric(name, namespace["__name__"], protocols, texts)
        return namespace[name]

    namespace["__getattr__"] = attribute
    if not namespace["__name__"].startswith("bertinchamps."):  # the copy that evaluate.load imports
        attribute(name)


def _metric(name: str, module: str, protocols: Mapping[str, Protocol], texts: Mapping[str, str]) -> type:
    """A class that derives from `evaluate.Metric`."""
    evaluate = import_module("evaluate")

    # evaluate would write the inputs, which may be clinical notes, to a file under ~/.cache
    def __init__(self: Any, config_name: str | None = None, **settings: Any) -> None:  # noqa: N807
        settings["keep_in_memory"] = True
        evaluate.Metric.__init__(self, config_name=config_name, **settings)

    def _info(self: Any) -> Any:
        if self.config_name not in protocols:
            raise ValueError(
                f"{name} has no configuration {self.config_name!r} (one of: {', '.join(protocols)})"
            )
        feature = _feature(protocols[self.config_name].example)
        features = import_module("datasets").Features({"predictions": feature, "references": feature})
        return evaluate.MetricInfo(features=features, **texts)

    def _compute(self: Any, predictions: list[Any], references: list[Any]) -> Mapping[str, Any]:
        return protocols[self.config_name].scores(list(references), list(predictions))

    body = {"__init__": __init__, "_info": _info, "_compute": _compute}
    return type(name, (evaluate.Metric,), {**body, "__module__": module, "__doc__": texts["description"]})


def _feature(schema: Schema) -> Any:
    """A schema in the terms of `datasets`."""
    if isinstance(schema, str):
        return import_module("datasets").Value(schema)
    if isinstance(schema, list):
        return [_feature(schema[0])]
    return {field: _feature(part) for field, part in schema.items()}


def as_record(text: AnnotatedText) -> dict[str, Any]:
    """A document as the modules of the span protocols take it."""
    entities = [
        {"label": label, "fragments": [list(span) for span in spans]} for label, spans in text.entities
    ]
    return {"name": text.name, "text": text.text, "entities": entities}


def on_records(
    scores: Callable[[Sequence[AnnotatedText], Sequence[AnnotatedText]], Mapping[str, Any]],
) -> Callable[[list[Any], list[Any]], Mapping[str, Any]]:
    """The same scores of documents as `as_record` gives them."""
    return lambda gold, predicted: scores(
        [_from_record(record) for record in gold], [_from_record(record) for record in predicted]
    )


def _from_record(record: Mapping[str, Any]) -> AnnotatedText:
    entities = sorted(
        Entity(entity["label"], tuple((start, end) for start, end in entity["fragments"]))
        for entity in record["entities"]
    )
    return AnnotatedText(record["name"], record["text"], tuple(entities))
