"""A page on the errors of a run.

Entities are matched by the protocol "nested exact". Unmatched gold entities and predictions are then paired, each
entity at most once: the same range (wrong type) or an overlap (wrong boundaries). So the counts of the page add up to
the protocol's false negatives and false positives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.counting import paired
from bertinchamps.metrics.error_pages import (
    WARNING,
    by_frequency,
    counts_by_type,
    escaped,
    examples,
    in_context,
    in_markdown,
)
from bertinchamps.metrics.nested_exact import match
from bertinchamps.pages import render
from bertinchamps.spans import EntitiesByOffset

if TYPE_CHECKING:
    from markupsafe import Markup


class Error(NamedTuple):
    """A missed gold entity, a spurious prediction, or a pair of both, in a document."""

    text: AnnotatedText
    gold: Entity | None
    predicted: Entity | None


class Errors(NamedTuple):
    """All errors by kind, and the correct entities by type."""

    correct: Counter[str]
    wrong_type: list[Error]
    wrong_boundaries: list[Error]
    missed: list[Error]
    spurious: list[Error]


def error_analysis(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> str:
    """A Markdown page: counts, confusions of types, boundaries, missed and spurious entities, with examples.

    The page quotes the documents, as its first line says.

    Args:
        gold: documents with all their entities.
        predicted: a document of the same name and text for each gold one, in any order.

    Raises:
        UserError: the documents of the two sides do not correspond (see `counting.paired`).
    """
    errors = _errors(gold, predicted)
    totals = {name: column.total() for name, column in _columns(errors).items()}
    shared = totals["wrong boundaries"] + totals["wrong type"]
    return render(
        "metrics/errors.md.jinja",
        warning=WARNING,
        documents=len(gold),
        counts=in_markdown(counts_by_type(_columns(errors))),
        tp=totals["correct"],
        fn=shared + totals["missed"],
        fp=shared + totals["spurious"],
        matrix=_matrix(errors.wrong_type),
        wrong_type=examples(errors.wrong_type, _both_labels, _wording, _quotation),
        wrong_boundaries=examples(errors.wrong_boundaries, _gold_label, _wording, _quotation),
        missed=examples(errors.missed, _gold_label, _wording, _quotation),
        spurious=examples(errors.spurious, _predicted_label, _wording, _quotation),
    )


def error_counts(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> dict[str, Any]:
    """The counts of that page without its quotations, JSON-able.

    Args:
        gold, predicted: as for `error_analysis`.

    Returns:
        `columns`: titles, the first of them that of a type; `rows`: a type and its counts; `confusions`: lists of a
        gold type, the type that was predicted on the same characters and how often, the commonest first.
    """
    errors = _errors(gold, predicted)
    columns, rows = counts_by_type(_columns(errors))
    confused = Counter((_gold_label(error), _predicted_label(error)) for error in errors.wrong_type)
    return {
        "columns": columns,
        "rows": rows,
        "confusions": [[*pair, count] for pair, count in by_frequency(confused)],
    }


def _errors(gold: Sequence[AnnotatedText], predicted: Sequence[AnnotatedText]) -> Errors:
    errors = Errors(Counter(), [], [], [], [])
    for text, predicted_text in sorted(paired(gold, predicted)):
        correct, missed, spurious = match(text.entities, predicted_text.entities)
        errors.correct.update(entity.label for entity in correct)
        for kind, likeness in ((errors.wrong_type, _same_span), (errors.wrong_boundaries, _overlap)):
            kind.extend(Error(text, *pair) for pair in _taken_pairs(missed, spurious, likeness))
        errors.missed.extend(Error(text, entity, None) for entity in sorted(missed))
        errors.spurious.extend(Error(text, None, entity) for entity in sorted(spurious))
    return errors


def _taken_pairs(
    missed: list[Entity], spurious: list[Entity], likeness: Callable[[Entity, Entity], int]
) -> Iterator[tuple[Entity, Entity]]:
    """Yield pairs of positive likeness, the highest first, and remove them from both lists."""
    others = EntitiesByOffset(spurious)
    candidates = [(-likeness(a, b), a, b) for a in missed for b in others.touching(a.start, a.end)]
    left = Counter(missed), Counter(spurious)
    for _, a, b in sorted(candidate for candidate in candidates if candidate[0] < 0):
        if left[0][a] and left[1][b]:
            left[0][a] -= 1
            left[1][b] -= 1
            yield a, b
    missed[:], spurious[:] = left[0].elements(), left[1].elements()


def _same_span(gold: Entity, predicted: Entity) -> int:
    return int(gold.fragments == predicted.fragments)


def _overlap(gold: Entity, predicted: Entity) -> int:
    """Characters that two entities of one type share."""
    if gold.label != predicted.label:
        return 0
    return sum(
        max(0, min(end, other_end) - max(start, other_start))
        for start, end in gold.fragments
        for other_start, other_end in predicted.fragments
    )


def _gold_label(error: Error) -> str:
    return error.gold.label if error.gold else ""


def _predicted_label(error: Error) -> str:
    return error.predicted.label if error.predicted else ""


def _both_labels(error: Error) -> str:
    return f"{_gold_label(error)} → {_predicted_label(error)}"


def _columns(errors: Errors) -> dict[str, Counter[str]]:
    """Entities by type, for each column of the page's first table."""
    return {
        "correct": errors.correct,
        "wrong boundaries": Counter(map(_gold_label, errors.wrong_boundaries)),
        "wrong type": Counter(map(_gold_label, errors.wrong_type)),
        "missed": Counter(map(_gold_label, errors.missed)),
        "wrongly this type": Counter(map(_predicted_label, errors.wrong_type)),
        "spurious": Counter(map(_predicted_label, errors.spurious)),
    }


def _matrix(errors: Sequence[Error]) -> tuple[list[object], list[list[object]]] | None:
    """Header and rows of the confusions of types: a row for each gold type, a column for each predicted one."""
    if not errors:
        return None
    counts = Counter((_gold_label(error), _predicted_label(error)) for error in errors)
    gold_labels, predicted_labels = ({pair[side] for pair in counts} for side in (0, 1))
    columns = sorted(predicted_labels)
    rows: list[list[object]] = [
        [escaped(label), *(counts[label, column] or "" for column in columns)]
        for label in sorted(gold_labels)
    ]
    return ["", *map(escaped, columns)], rows


def _wording(error: Error) -> tuple[str, ...]:
    """The words of the entities, without case and line ends."""
    return tuple(
        " ".join(error.text.text[start:end] for start, end in entity.fragments).casefold()
        for entity in (error.gold, error.predicted)
        if entity is not None
    )


def _quotation(error: Error) -> Markup:
    """The entities in their context, and the document's name."""
    from markupsafe import Markup

    entities = [entity for entity in (error.gold, error.predicted) if entity is not None]
    if len(entities) == 2 and entities[0].fragments == entities[1].fragments:
        entities = entities[:1]
    quotations = [Markup("“{}”").format(in_context(error.text.text, entity.fragments)) for entity in entities]
    return Markup("{} ({})").format(Markup(" → ").join(quotations), escaped(error.text.name))
