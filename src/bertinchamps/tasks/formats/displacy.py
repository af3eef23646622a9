"""A page to look at entities in a browser, drawn by spaCy's displaCy (https://spacy.io/usage/visualizers).

Entities are marked in the text (style `ent`), or underlined where entities of the document overlap (style `span`).
Style `span` draws word by word, so an entity that begins or ends inside a word shows a blank there.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.pages import template

if TYPE_CHECKING:
    from markupsafe import Markup

# Tableau's 20 colours, the light ones first: dark text is easier to read on them
COLOURS = (
    *(
        "#aec7e8",
        "#ffbb78",
        "#98df8a",
        "#ff9896",
        "#c5b0d5",
        "#c49c94",
        "#f7b6d2",
        "#c7c7c7",
        "#dbdb8d",
        "#9edae5",
    ),
    *(
        "#1f77b4",
        "#ff7f0e",
        "#2ca02c",
        "#d62728",
        "#9467bd",
        "#8c564b",
        "#e377c2",
        "#7f7f7f",
        "#bcbd22",
        "#17becf",
    ),
)
Mark = tuple[int, int, str]  # start, end, escaped label


def write_page(path: Path, documents: Iterable[AnnotatedText], title: str | None = None) -> None:
    """Write one HTML file that needs nothing else, network included; the default title is the name of the file.

    A discontinuous entity is drawn as its fragments, such as "DISO 1/2" and "DISO 2/2".

    Raises:
        UserError: spaCy is not installed.
    """
    colours: dict[str, str] = {}  # by label, in the order in which labels occur
    path.parent.mkdir(parents=True, exist_ok=True)
    page = template("tasks/formats/displacy.html.jinja")
    drawn = ((document.name, _drawings(document, colours)) for document in documents)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(page.generate(title=title or path.stem, documents=drawn))


def _drawings(document: AnnotatedText, colours: dict[str, str]) -> list[Markup]:
    """The drawings of a document's lines. displaCy escapes the text, but not the labels."""
    marks: list[Mark] = []
    shown: dict[str, str] = {}  # escaped label → its colour
    for entity in document.entities:
        colour = colours.setdefault(entity.label, COLOURS[len(colours) % len(COLOURS)])
        count = len(entity.fragments)
        for number, (start, end) in enumerate(entity.fragments, start=1):
            label = html.escape(entity.label if count == 1 else f"{entity.label} {number}/{count}")
            marks.append((start, end, label))
            shown[label] = colour
    marks.sort()
    draw = _underlined if _overlap(marks) else _marked
    return [draw(text, inside, shown) for text, inside in _pieces(document.text, marks)]


def _overlap(marks: Sequence[Mark]) -> bool:
    return any(after[0] < before[1] for before, after in itertools.pairwise(marks))


def _pieces(text: str, marks: Sequence[Mark]) -> Iterator[tuple[str, list[Mark]]]:
    """The lines of a text with their marks; lines with a mark across them stay together.

    displaCy compares each word with each entity, which takes minutes for a book, but not for single lines.
    """
    start = first = last = reach = 0
    for end in [match.end() for match in re.finditer(r"\n", text)] + [len(text)]:
        while last < len(marks) and marks[last][0] < end:
            reach = max(reach, marks[last][1])
            last += 1
        if reach <= end and text[start:end].strip():
            yield (
                text[start:end].rstrip("\n"),
                [(a - start, b - start, label) for a, b, label in marks[first:last]],
            )
        if reach <= end:
            start, first = end, last


def _rendered(parsed: dict[str, Any], style: str, colours: dict[str, str]) -> Markup:
    from markupsafe import Markup

    try:
        from spacy import displacy
    except ImportError:
        raise UserError(
            "a displaCy page needs spaCy, which is not installed: pip install 'spacy>=3.8'"
        ) from None
    return Markup(
        displacy.render(parsed, style=style, manual=True, jupyter=False, options={"colors": colours})
    )


def _marked(text: str, marks: Sequence[Mark], colours: dict[str, str]) -> Markup:
    entities = [{"start": start, "end": end, "label": label} for start, end, label in marks]
    return _rendered({"text": text, "ents": entities, "title": None}, "ent", colours)


def _underlined(text: str, marks: Sequence[Mark], colours: dict[str, str]) -> Markup:
    """Words are cut where entities begin and end, because displaCy underlines whole words."""
    cuts = sorted({0, len(text)} | {offset for start, end, _ in marks for offset in (start, end)})
    words = [
        (start + match.start(), start + match.end())
        for start, end in itertools.pairwise(cuts)
        for match in re.finditer(r"\S+", text[start:end])
    ]
    spans = []
    for start, end, label in marks:
        inside = [number for number, word in enumerate(words) if start <= word[0] < end]
        if inside:
            spans.append({"start_token": inside[0], "end_token": inside[-1] + 1, "label": label})
    return _rendered({"tokens": [text[a:b] for a, b in words], "spans": spans}, "span", colours)
