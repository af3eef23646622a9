"""A page on the errors of relations.

Relations are matched as the protocol "relations" does. Unmatched gold relations and predictions between the same two
entities are then paired, each once: another type, or the other direction. So the counts of the page add up to the
protocol's false negatives and false positives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bertinchamps.contract import Entity, RelatedText
from bertinchamps.metrics.error_pages import (
    WARNING,
    by_frequency,
    counts_by_type,
    escaped,
    examples,
    in_context,
    in_markdown,
)
from bertinchamps.metrics.relations import Link, links_of
from bertinchamps.pages import render

if TYPE_CHECKING:
    from markupsafe import Markup

KINDS = ("wrong type", "wrong direction", "missed", "spurious")


class Error(NamedTuple):
    """A missed gold relation, a spurious prediction, or a pair of both, in a document."""

    text: RelatedText
    gold: Link | None
    predicted: Link | None

    @property
    def link(self) -> Link:
        """The gold relation, if there is one."""
        found = self.gold or self.predicted
        assert found is not None
        return found

    @property
    def group(self) -> str:
        """Its type, and what was predicted in its place."""
        label = self.link[0]
        other = self.predicted[0] if self.gold and self.predicted else label
        return label if other == label else f"{label} → {other}"


def relation_errors(gold: Sequence[RelatedText], predicted: Sequence[RelatedText]) -> str:
    """A Markdown page: counts by type, and examples of each kind of error.

    The page quotes the documents, as its first line says.

    Args:
        gold: documents with all their relations.
        predicted: a document of the same name and text for each gold one, in any order.
    """
    correct, errors = _sorted_out(gold, predicted)
    columns = _columns(correct, errors)
    both = columns["wrong type"].total() + columns["wrong direction"].total()
    return render(
        "metrics/relation_errors.md.jinja",
        warning=WARNING,
        documents=len(gold),
        counts=in_markdown(counts_by_type(columns)),
        tp=correct.total(),
        fn=both + columns["missed"].total(),
        fp=both + columns["spurious"].total(),
        kinds=[
            (kind.capitalize(), examples(errors[kind], lambda error: error.group, _wording, _quotation))
            for kind in KINDS
        ],
    )


def relation_error_counts(gold: Sequence[RelatedText], predicted: Sequence[RelatedText]) -> dict[str, Any]:
    """The counts of that page without its quotations, JSON-able.

    Args:
        gold, predicted: as for `relation_errors`.

    Returns:
        `columns`: titles, the first of them that of a type; `rows`: a type and its counts; `confusions`: lists of a
        gold type, the one that was predicted between the same two entities and how often, the commonest first.
    """
    correct, errors = _sorted_out(gold, predicted)
    columns, rows = counts_by_type(_columns(correct, errors))
    confused = Counter(
        (error.gold[0], error.predicted[0])
        for error in errors["wrong type"]
        if error.gold and error.predicted
    )
    return {
        "columns": columns,
        "rows": rows,
        "confusions": [[*pair, count] for pair, count in by_frequency(confused)],
    }


def _columns(correct: Counter[str], errors: Mapping[str, Sequence[Error]]) -> dict[str, Counter[str]]:
    """Relations by type, for each column of the first table."""
    return {"correct": correct, **{kind: Counter(error.link[0] for error in errors[kind]) for kind in KINDS}}


def _sorted_out(
    gold: Sequence[RelatedText], predicted: Sequence[RelatedText]
) -> tuple[Counter[str], dict[str, list[Error]]]:
    """The correct relations by type, and the errors by kind."""
    correct, errors = Counter[str](), {kind: list[Error]() for kind in KINDS}
    by_name = {document.name: document for document in predicted}
    for text in sorted(gold, key=lambda text: text.name):
        wanted, found = links_of(text), links_of(by_name[text.name])
        correct.update(label for label, _, _ in (wanted & found).elements())
        missed, spurious = sorted((wanted - found).elements()), sorted((found - wanted).elements())
        for kind, same in (("wrong type", _other_type), ("wrong direction", _other_direction)):
            errors[kind] += _taken(text, missed, spurious, same)
        errors["missed"] += [Error(text, link, None) for link in missed]
        errors["spurious"] += [Error(text, None, link) for link in spurious]
    return correct, errors


def _taken(
    text: RelatedText, missed: list[Link], spurious: list[Link], same: Callable[[Link, Link], bool]
) -> list[Error]:
    """Pairs of a missed and a spurious relation, which are removed from both lists."""
    found = []
    for gold in list(missed):
        other = next((link for link in spurious if same(gold, link)), None)
        if other is not None:
            missed.remove(gold)
            spurious.remove(other)
            found.append(Error(text, gold, other))
    return found


def _other_type(gold: Link, predicted: Link) -> bool:
    return gold[1:] == predicted[1:]


def _other_direction(gold: Link, predicted: Link) -> bool:
    return gold[1:] == predicted[:0:-1]


def _wording(error: Error) -> tuple[str, ...]:
    return tuple(_words(error.text, entity).casefold() for entity in error.link[1:])


def _words(text: RelatedText, entity: Entity) -> str:
    return " ".join(text.text[start:end] for start, end in entity.fragments)


def _quotation(error: Error) -> Markup:
    """Head and tail, the sentence around them, and the document's name."""
    from markupsafe import Markup

    _, head, tail = error.link
    parts = sorted({*head.fragments, *tail.fragments})
    apart = [part for number, part in enumerate(parts) if not number or part[0] >= parts[number - 1][1]]
    return Markup("{} → {}: “{}” ({})").format(
        escaped(_words(error.text, head)),
        escaped(_words(error.text, tail)),
        in_context(error.text.text, apart),
        escaped(error.text.name),
    )
