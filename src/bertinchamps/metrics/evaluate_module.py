"""How a protocol becomes a module of Hugging Face's `evaluate`.

`evaluate.load(path)` imports a copy of a protocol's file and takes its first class that derives from
`evaluate.Metric`, so each file has one. Importing `evaluate` takes seconds: the class is made when it is asked for,
or at once in such a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from bertinchamps.contract import AnnotatedText, Entity

Scores = Callable[[list[Any], list[Any]], Mapping[str, Any]]
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


def register_evaluate_module(
    namespace: dict[str, Any],
    name: str,
    example: Schema,
    scores: Scores,
    description: str,
    inputs_description: str,
    citation: str,
) -> None:
    """Give a protocol's file a class called `name` that derives from `evaluate.Metric`.

    Args:
        namespace: `globals()` of the file, which gets a `__getattr__` (PEP 562).
        name: name of the class.
        example: schema of one reference and of one prediction.
        scores: references and predictions to scores.
        description, inputs_description, citation: what `evaluate` shows.
    """
    texts = {"description": description, "inputs_description": inputs_description, "citation": citation}

    def attribute(asked: str) -> Any:
        if asked != name:
            raise AttributeError(f"module {namespace['__name__']!r} has no attribute {asked!r}")
        namespace[name] = _metric(name, namespace["__name__"], example, scores, texts)
        return namespace[name]

    namespace["__getattr__"] = attribute
    if not namespace["__name__"].startswith("bertinchamps."):  # the copy that evaluate.load imports
        attribute(name)


def _metric(name: str, module: str, example: Schema, scores: Scores, texts: Mapping[str, str]) -> type:
    """A class that derives from `evaluate.Metric`."""
    evaluate = import_module("evaluate")

    # evaluate would write the inputs, which may be clinical notes, to a file under ~/.cache
    def __init__(self: Any, config_name: str | None = None, **settings: Any) -> None:  # noqa: N807
        settings["keep_in_memory"] = True
        evaluate.Metric.__init__(self, config_name=config_name, **settings)

    def _info(self: Any) -> Any:
        if self.config_name != "default":
            raise ValueError(f"{name} has no configuration {self.config_name!r} (one of: default)")
        feature = _feature(example)
        features = import_module("datasets").Features({"predictions": feature, "references": feature})
        return evaluate.MetricInfo(features=features, **texts)

    def _compute(self: Any, predictions: list[Any], references: list[Any]) -> Mapping[str, Any]:
        return scores(list(references), list(predictions))

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
    """A document in the form that the modules of the span protocols take."""
    entities = [
        {"label": label, "fragments": [list(span) for span in spans]} for label, spans in text.entities
    ]
    return {"name": text.name, "text": text.text, "entities": entities}


def on_records(
    scores: Callable[[Sequence[AnnotatedText], Sequence[AnnotatedText]], Mapping[str, Any]],
) -> Scores:
    """The same scores, of documents in the form that `as_record` gives."""
    return lambda gold, predicted: scores(
        [_from_record(record) for record in gold], [_from_record(record) for record in predicted]
    )


def _from_record(record: Mapping[str, Any]) -> AnnotatedText:
    entities = sorted(
        Entity(entity["label"], tuple((start, end) for start, end in entity["fragments"]))
        for entity in record["entities"]
    )
    return AnnotatedText(record["name"], record["text"], tuple(entities))
