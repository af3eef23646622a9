"""Annotated documents as UIMA writes them in XMI, for example those of WebAnno and INCEpTION.

    <xmi:XMI …>
        <custom:CLINENTITY xmi:id="6696" sofa="12" begin="0" end="15" entityID="C0000000"/>
        <cas:Sofa xmi:id="12" sofaNum="1" sofaID="_InitialView" mimeType="text" sofaString="Fracture du col…"/>
    </xmi:XMI>

An annotation is an element with `begin` and `end`, which count UTF-16 units of the text: a character beyond U+FFFF is
two units. Its type is the element's name without the namespace. A file with a document type declaration is refused:
UIMA writes none, and entities of one could name other files or expand without end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from xml.parsers import expat

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError

NAMESPACE_END = " "  # between namespace and name, neither of which can hold it
OFFSET = re.compile("[0-9]{1,12}")


def read_document(content: bytes, name: str, types: Collection[str]) -> AnnotatedText:
    """One document, named by the last part of `name`, with its annotations of some types.

    Args:
        content: of the file.
        name: folder and name of the file without its suffix .xml, for messages.
        types: names of annotations that become entities.

    Raises:
        UserError: the file is no XMI of one text, or an annotation does not fit the text; the message has the line.
    """
    file = f"{name}.xml"
    found = _parsed(content, file, types)
    if len(found.texts) != 1:
        raise UserError(
            f"{file}: {len(found.texts)} texts (elements Sofa with sofaString) where one is expected"
        )
    [(sofa, text)] = found.texts.items()
    places = _places_of_units(text)
    entities = []
    for label, line, attributes in found.annotations:
        where = f"{file}: line {line}"
        if attributes.get("sofa") != sofa:
            raise UserError(f"{where}: {label} is an annotation of another text than the file's")
        start, end = (
            _place(attributes[key], places, f"{where}: {key} of {label}") for key in ("begin", "end")
        )
        if start >= end:
            raise UserError(f"{where}: {label} has no character, since its end is not after its beginning")
        entities.append(Entity(label, ((start, end),)))
    return AnnotatedText(PurePosixPath(name).name, text, tuple(sorted(entities)))


@dataclass
class _Found:
    """What is read off a file.

    Attributes:
        texts: id of a Sofa → its text.
        annotations: type, line in the file, attributes.
    """

    texts: dict[str, str] = field(default_factory=dict)
    annotations: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)


def _parsed(content: bytes, file: str, types: Collection[str]) -> _Found:
    found = _Found()
    parser = expat.ParserCreate(namespace_separator=NAMESPACE_END)

    def element(full_name: str, attributes: dict[str, str]) -> None:
        name = full_name.rpartition(NAMESPACE_END)[2]
        if name == "Sofa" and "sofaString" in attributes:
            identity = next(
                (value for key, value in attributes.items() if key.endswith(f"{NAMESPACE_END}id")), ""
            )
            found.texts[identity] = attributes["sofaString"]
        elif name in types and {"begin", "end"} <= attributes.keys():
            found.annotations.append((name, parser.CurrentLineNumber, attributes))

    def doctype(*_: object) -> None:
        raise UserError(
            f"{file}: line {parser.CurrentLineNumber}: a document type declaration (<!DOCTYPE), which no XMI of UIMA "
            "has; get the file again"
        )

    parser.StartElementHandler = element
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError):  # the latter two: of an encoding that it names
        raise UserError(
            f"{file}: line {parser.ErrorLineNumber}: not well-formed XML; get the file again"
        ) from None
    return found


def _places_of_units(text: str) -> dict[int, int]:
    """Place of each character, and of the end, by the UTF-16 unit that it begins at."""
    units = itertools.accumulate((1 + (character > "\uffff") for character in text), initial=0)
    return {unit: place for place, unit in enumerate(units)}


def _place(written: str, places: dict[int, int], what: str) -> int:
    """The character at an offset. Raises UserError where there is none; `what` is for the message."""
    place = places.get(int(written)) if OFFSET.fullmatch(written) else None
    if place is None:
        raise UserError(
            f"{what} is no place in the text, whose offsets are 0 to {max(places)} in UTF-16 units and lie between "
            "characters"
        )
    return place
