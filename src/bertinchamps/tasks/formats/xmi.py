"""Annotated documents as UIMA writes them in XMI, for example those of WebAnno and INCEpTION.

    <xmi:XMI …>
        <custom:CLINENTITY xmi:id="6696" sofa="12" begin="0" end="15" entityID="C0000000"/>
        <cas:Sofa xmi:id="12" sofaNum="1" sofaID="_InitialView" mimeType="text" sofaString="Fracture du col…"/>
    </xmi:XMI>

Relations are links of an annotation (a feature with the ids of elements that have a role and a target), or elements of
a relation layer, which have a governor and a dependent:

        <custom:RML xmi:id="6923" sofa="12" begin="8" end="10" PERTAINSTO="7338"/>
        <custom:RMLPERTAINSTOLink xmi:id="7338" role="PERTAINS" target="6321"/>
        <custom:Relation xmi:id="71" sofa="12" begin="8" end="10" Governor="6923" Dependent="6321" label="PERTAINS"/>

An annotation is an element with `begin` and `end`, which count UTF-16 units of the text: a character beyond U+FFFF is
two units. Its type is the element's name without the namespace. A file with a document type declaration is refused:
UIMA writes none, and entities of one could name other files or expand without end.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from xml.parsers import expat

from bertinchamps.contract import AnnotatedText, Entity, RelatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats.related import Written, related

NAMESPACE_END = " "  # between namespace and name, neither of which can hold it
OFFSET = re.compile("[0-9]{1,12}")
WITHOUT_LABEL = "annotations without a label (task.layers names its feature)"
NOT_READ = "relations with an argument that is not read (task.types or task.layers names what is)"


def read_document(content: bytes, name: str, types: Collection[str]) -> AnnotatedText:
    """One document, named by the last part of `name`, with its annotations of some types.

    Args:
        content: of the file.
        name: folder and name of the file without its suffix .xml, for messages.
        types: names of annotations that become entities.

    Raises:
        UserError: the file is no XMI of one text, or an annotation does not fit the text; the message has the line.
    """
    text, annotations = _annotations(_parsed(content, f"{name}.xml", types), f"{name}.xml", types)
    entities = sorted(entity for entity, _, _ in annotations)
    return AnnotatedText(PurePosixPath(name).name, text, tuple(entities))


def read_layers(
    content: bytes, file: str, name: str, layers: Collection[str], left_out: Counter[str] | None = None
) -> AnnotatedText:
    """One document with the annotations of some layers, whose labels are features, as INCEpTION has them.

    Args:
        content: of the file.
        file: folder and name of the file, for messages.
        name: of the document.
        layers: TYPE.FEATURE each, such as NamedEntity.value: the label is the value of the feature. TYPE alone: the
            label is the type.
        left_out: counts annotations without a label.

    Raises:
        UserError: the file is no XMI of one text, or an annotation does not fit the text; the message has the line.
    """
    text, entities, _ = _labelled(_parsed(content, file, _types(layers)), file, layers, left_out)
    return AnnotatedText(name, text, tuple(sorted(entities)))


def read_related(
    content: bytes,
    file: str,
    name: str,
    layers: Collection[str],
    links: Collection[str],
    left_out: Counter[str] | None = None,
    first: dict[str, str] | None = None,
) -> RelatedText:
    """One document with the annotations of some layers and the relations between them.

    Args:
        content: of the file.
        file: folder and name of the file, for messages.
        name: of the document.
        layers: as for `read_layers`.
        links: TYPE.FEATURE each. Of a layer of annotations, its links; their label is their role, or else the feature.
            Of a relation layer, its relations from governor to dependent; their label is the feature's value, or else
            the type. TYPE alone: a relation layer whose labels are its type.
        left_out: counts relations whose arguments are in no layer, and others that are left out.
        first: gets, for each label of a relation, file and line of the first one.

    Raises:
        UserError: see `read_layers`; or a relation has an argument that is not in the file, twice the same argument,
            or is there twice.
    """
    left_out = Counter() if left_out is None else left_out
    found = _parsed(content, file, _types([*layers, *links]))
    text, entities, ids = _labelled(found, file, layers, left_out)
    places = {identity: place for place, identity in enumerate(ids)}
    written = []
    for layer, _, feature in (link.partition(".") for link in links):
        for where, label, head, tail in _links(found, file, layer, feature):
            for argument in (head, tail):
                if argument not in found.ids:
                    raise UserError(
                        f"{where}: a relation with an argument that is not in the file; get the file again"
                    )
            if head in places and tail in places:
                written.append(Written(where, label, places[head], places[tail]))
            else:
                left_out[NOT_READ] += 1
    return related(name, text, entities, written, left_out, first)


def _types(layers: Collection[str]) -> set[str]:
    return {layer.partition(".")[0] for layer in layers}


def _labelled(
    found: _Found, file: str, layers: Collection[str], left_out: Counter[str] | None
) -> tuple[str, list[Entity], list[str]]:
    """The text, the entities of some layers in the order of the file, and the id of each."""
    features = {layer: feature for layer, _, feature in (each.partition(".") for each in layers)}
    text, annotations = _annotations(found, file, features)
    entities, ids = [], []
    for entity, _, attributes in annotations:
        feature = features[entity.label]
        label = attributes.get(feature, "").strip() if feature else entity.label
        if label:
            entities.append(entity._replace(label=label))
            ids.append(attributes["id"])
        elif left_out is not None:
            left_out[WITHOUT_LABEL] += 1
    return text, entities, ids


def _links(found: _Found, file: str, layer: str, feature: str) -> Iterator[tuple[str, str, str, str]]:
    """File and line, label, and the ids of head and tail of each relation of a layer or of a feature."""
    for name, line, attributes in found.annotations:
        where = f"{file}: line {line}"
        if name != layer:
            continue
        if {"Governor", "Dependent"} <= attributes.keys():
            yield where, attributes.get(feature) or layer, attributes["Governor"], attributes["Dependent"]
            continue
        for identity in attributes.get(feature, "").split():
            if identity not in found.links:
                raise UserError(
                    f"{where}: {layer}.{feature} names a link that is not in the file; get the file again, or name a "
                    "feature that holds links"
                )
            line_of_link, link = found.links[identity]
            role = link.get("role") or feature
            yield f"{file}: line {line_of_link}", role, attributes.get("id", ""), link["target"]


def _annotations(
    found: _Found, file: str, types: Collection[str]
) -> tuple[str, list[tuple[Entity, int, dict[str, str]]]]:
    """The text, and the annotations of some types, each with its line and its attributes, in the order of the file."""
    if len(found.texts) != 1:
        raise UserError(
            f"{file}: {len(found.texts)} texts (elements Sofa with sofaString) where one is expected"
        )
    [(sofa, text)] = found.texts.items()
    places = _places_of_units(text)
    annotations = []
    for label, line, attributes in found.annotations:
        if label not in types:
            continue
        where = f"{file}: line {line}"
        if attributes.get("sofa") != sofa:
            raise UserError(f"{where}: {label} is an annotation of another text than the file's")
        start, end = (
            _place(attributes[key], places, f"{where}: {key} of {label}") for key in ("begin", "end")
        )
        if start >= end:
            raise UserError(f"{where}: {label} has no character, since its end is not after its beginning")
        annotations.append((Entity(label, ((start, end),)), line, attributes))
    return text, annotations


@dataclass
class _Found:
    """What is read off a file.

    Attributes:
        texts: id of a Sofa → its text.
        annotations: type, line in the file, attributes; `id` is the file's xmi:id.
        links: id of an element with a target → line in the file, attributes.
        ids: of all elements.
    """

    texts: dict[str, str] = field(default_factory=dict)
    annotations: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    links: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)


def _parsed(content: bytes, file: str, types: Collection[str]) -> _Found:
    found = _Found()
    parser = expat.ParserCreate(namespace_separator=NAMESPACE_END)

    def element(full_name: str, attributes: dict[str, str]) -> None:
        name = full_name.rpartition(NAMESPACE_END)[2]
        identity = next(
            (value for key, value in attributes.items() if key.endswith(f"{NAMESPACE_END}id")), ""
        )
        found.ids.add(identity)
        if name == "Sofa" and "sofaString" in attributes:
            found.texts[identity] = attributes["sofaString"]
        elif name in types and {"begin", "end"} <= attributes.keys():
            found.annotations.append((name, parser.CurrentLineNumber, {**attributes, "id": identity}))
        elif "target" in attributes:
            found.links[identity] = (parser.CurrentLineNumber, attributes)

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
