"""What the pages on errors share: counts by type, and quotations of documents in Markdown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from markupsafe import Markup

Error = TypeVar("Error")
Table = tuple[list[str], list[list[object]]]  # header and rows
EXAMPLES = 5  # quotations for each type and kind of error
CONTEXT = 5  # words on each side of a quotation
LONGEST_CONTEXT = 100  # characters on each side, where words have no spaces between them
LONGEST_GAP = 160  # characters between two bold parts that are quoted in full

WARNING = "**This page quotes documents. It stays on this disk: never commit, publish or mail it.**"


def in_context(text: str, parts: Sequence[tuple[int, int]]) -> Markup:
    """Parts of a text in bold, what is between them, and some words on each side.

    Args:
        text: the document.
        parts: start and end of each, in order and apart from each other.
    """
    from markupsafe import Markup

    first, last = parts[0][0], parts[-1][1]
    before = re.findall(r"\S+\s*", text[max(0, first - LONGEST_CONTEXT) : first])[-CONTEXT:]
    after = re.findall(r"\s*\S+", text[last : last + LONGEST_CONTEXT])[:CONTEXT]
    inside, place = Markup(), first
    for start, end in parts:
        between = text[place:start]
        if len(between) > LONGEST_GAP:
            between = f"{between[: LONGEST_GAP // 2]} […] {between[-LONGEST_GAP // 2 :]}"
        inside += Markup("{}**{}**").format(escaped(between), escaped(text[start:end]))
        place = end
    return Markup("{}{}{}").format(escaped("".join(before)), inside, escaped("".join(after))).strip()


def escaped(text: str) -> Markup:
    """Text on one line in which Markdown interprets nothing."""
    from markupsafe import Markup

    return Markup(re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(re.split(r"\s+", text))))


def counts_by_type(columns: Mapping[str, Counter[str]]) -> Table:
    """Header and rows of a table: a row for each type, in the order of the alphabet, and one for all.

    Args:
        columns: title → counts by type.
    """
    labels = sorted({label for column in columns.values() for label in column})
    rows: list[list[object]] = [[label, *(column[label] for column in columns.values())] for label in labels]
    return ["type", *columns], [*rows, ["all", *(column.total() for column in columns.values())]]


def in_markdown(table: Table) -> Table:
    """A table of `counts_by_type` for a page, the row for all in bold."""
    header, [*rows, last] = table
    return header, [*([escaped(str(row[0])), *row[1:]] for row in rows), [f"**{last[0]}**", *last[1:]]]


def by_frequency(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """What was counted and how often, the commonest first, then by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def examples(
    errors: Sequence[Error],
    group: Callable[[Error], str],
    wording: Callable[[Error], tuple[str, ...]],
    quotation: Callable[[Error], Markup],
) -> list[tuple[Markup, int, list[tuple[int, Markup]]]]:
    """For each group its name, its size, and its commonest wordings: how often, and the first quotation.

    Args:
        errors: of one kind.
        group: the group of an error.
        wording: its words; errors with the same words are quoted once.
        quotation: of an error.
    """
    groups: dict[str, dict[tuple[str, ...], list[Error]]] = {}
    for error in errors:
        groups.setdefault(group(error), {}).setdefault(wording(error), []).append(error)
    found = []
    for label, wordings in groups.items():
        common = sorted(wordings.items(), key=lambda item: (-len(item[1]), item[0]))[:EXAMPLES]
        quotations = [(len(same), quotation(same[0])) for _, same in common]
        found.append((label, sum(map(len, wordings.values())), quotations))
    found.sort(key=lambda item: (-item[1], item[0]))
    return [(escaped(label), count, quotations) for label, count, quotations in found]
