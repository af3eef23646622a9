"""A page to look at entities in a browser, drawn by spaCy's displaCy (https://spacy.io/usage/visualizers).

Where no entities of a document overlap they are marked in the text (style `ent`), otherwise underlined (style `span`).
The underlining is drawn word by word, so there a blank shows wherever an entity begins or ends inside a word.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError

# Tableau's 20 colours, the light ones first: ten types get ten that dark text is read on
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
PAGE = """<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<title>TITLE</title>
<style>body { font-family: sans-serif; margin: 2rem auto; max-width: 60rem; } h2 { font-size: 1rem; }</style>
</head>
<body>
BODY</body>
</html>
"""

Mark = tuple[int, int, str]  # start, end, escaped label


def write_page(path: Path, documents: Iterable[AnnotatedText], title: str | None = None) -> None:
    """Write one HTML file that needs nothing else, network included; its title is that of the file where none is given.

    A discontinuous entity is drawn as its fragments, such as "DISO 1/2" and "DISO 2/2".

    Raises:
        UserError: spaCy is not installed.
    """
    colours: dict[str, str] = {}  # of the labels, as they are met
    path.parent.mkdir(parents=True, exist_ok=True)
    head, _, tail = PAGE.partition("BODY")
    with path.open("w", encoding="utf-8") as file:
        file.write(head.replace("TITLE", html.escape(title or path.stem)))
        for document in documents:
            for entity in document.entities:
                colours.setdefault(entity.label, COLOURS[len(colours) % len(COLOURS)])
            file.write(_figure(document, colours) + "\n")
        file.write(tail)


def _figure(document: AnnotatedText, colours: dict[str, str]) -> str:
    """A document under its name. displaCy escapes the text, but neither labels nor titles."""
    marks: list[Mark] = []
    shown: dict[str, str] = {}  # what is drawn as label → its colour
    for entity in document.entities:
        count = len(entity.fragments)
        for number, (start, end) in enumerate(entity.fragments, start=1):
            label = html.escape(entity.label if count == 1 else f"{entity.label} {number}/{count}")
            marks.append((start, end, label))
            shown[label] = colours[entity.label]
    marks.sort()
    draw = _underlined if _overlap(marks) else _marked
    pieces = [draw(text, inside, shown) for text, inside in _pieces(document.text, marks)]
    return f"<h2>{html.escape(document.name)}</h2>\n" + "\n".join(pieces)


def _overlap(marks: Sequence[Mark]) -> bool:
    return any(after[0] < before[1] for before, after in itertools.pairwise(marks))


def _pieces(text: str, marks: Sequence[Mark]) -> Iterator[tuple[str, list[Mark]]]:
    """The lines with their marks; those that a mark joins stay together.

    displaCy compares each word with each entity, which takes minutes for a book but not for its paragraphs.
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


def _rendered(parsed: dict[str, Any], style: str, colours: dict[str, str]) -> str:
    try:
        from spacy import displacy
    except ImportError:
        raise UserError(
            "a displaCy page needs spaCy, which is not installed: pip install 'spacy>=3.8'"
        ) from None
    return str(displacy.render(parsed, style=style, manual=True, jupyter=False, options={"colors": colours}))


def _marked(text: str, marks: Sequence[Mark], colours: dict[str, str]) -> str:
    entities = [{"start": start, "end": end, "label": label} for start, end, label in marks]
    return _rendered({"text": text, "ents": entities, "title": None}, "ent", colours)


def _underlined(text: str, marks: Sequence[Mark], colours: dict[str, str]) -> str:
    """Words are cut where entities begin and end, since displaCy underlines whole ones."""
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
