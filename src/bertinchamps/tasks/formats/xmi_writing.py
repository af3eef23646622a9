"""XMI of UIMA for INCEpTION: named entities of its own layer, with the words and sentences that it asks for.

    NAME.xmi          a document; INCEpTION imports it as "UIMA CAS XMI (XML 1.0)"
    TypeSystem.xml    the types, for other programs; INCEpTION knows them

`xmi.py` reads them again. Entities may nest. There is no place for confidences, and none for discontinuous entities,
each fragment of which is an entity.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from xml.sax.saxutils import quoteattr

from bertinchamps.contract import AnnotatedText
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.formats.cut_words import cut_words
from bertinchamps.tasks.tagging.sentences import sentences

LAYER = "NamedEntity.value"
LANGUAGE = "fr"
# Characters that XML 1.0 has no way to write.
UNWRITABLE = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
BLANKS = {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}  # an attribute would hold a space instead
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmlns:cas="http:///uima/cas.ecore" xmlns:tcas="http:///uima/tcas.ecore" \
xmlns:segmentation="http:///de/tudarmstadt/ukp/dkpro/core/api/segmentation/type.ecore" \
xmlns:ner="http:///de/tudarmstadt/ukp/dkpro/core/api/ner/type.ecore" xmi:version="2.0">
<cas:NULL xmi:id="0"/>
"""
TYPES = """<?xml version="1.0" encoding="UTF-8"?>
<typeSystemDescription xmlns="http://uima.apache.org/resourceSpecifier">
<types>
<typeDescription><name>de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Sentence</name>\
<supertypeName>uima.tcas.Annotation</supertypeName></typeDescription>
<typeDescription><name>de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token</name>\
<supertypeName>uima.tcas.Annotation</supertypeName></typeDescription>
<typeDescription><name>de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity</name>\
<supertypeName>uima.tcas.Annotation</supertypeName><features>\
<featureDescription><name>value</name><rangeTypeName>uima.cas.String</rangeTypeName></featureDescription>\
<featureDescription><name>identifier</name><rangeTypeName>uima.cas.String</rangeTypeName></featureDescription>\
</features></typeDescription>
</types>
</typeSystemDescription>
"""


def fits(text: str) -> bool:
    """Whether XML can hold the text: it has no way to write most control characters."""
    return UNWRITABLE.search(text) is None


def write_document(folder: Path, document: AnnotatedText) -> None:
    """Write NAME.xmi, and TypeSystem.xml where it is not there yet; NAME is `brat.file_name(document.name)`."""
    folder.mkdir(parents=True, exist_ok=True)
    types = folder / "TypeSystem.xml"
    if not types.exists():
        types.write_text(TYPES, encoding="utf-8")
    (folder / f"{brat.file_name(document.name)}.xmi").write_bytes(as_xmi(document).encode())


def as_xmi(document: AnnotatedText) -> str:
    """The content of a document's file; offsets count UTF-16 units."""
    text = document.text
    units = list(itertools.accumulate((1 + (character > "\uffff") for character in text), initial=0))
    found = [
        (start, end, entity.label) for entity, _ in document.by_place() for start, end in entity.fragments
    ]
    edges = [edge for start, end, _ in found for edge in (start, end)]
    ranges = [(0, len(text))] if document.words is not None else sentences(text)
    words = [word for start, end in ranges for word in cut_words(text, edges, start, end)]
    marks = [("tcas:DocumentAnnotation", 0, len(text), {"language": LANGUAGE})]
    marks += [("segmentation:Sentence", start, end, {}) for start, end in ranges if text[start:end].strip()]
    marks += [("segmentation:Token", start, end, {}) for start, end in words]
    marks += [("ner:NamedEntity", start, end, {"value": label}) for start, end, label in found]
    lines = []
    for number, (name, start, end, more) in enumerate(marks, start=2):
        others = "".join(f" {key}={quoteattr(value, BLANKS)}" for key, value in more.items())
        lines.append(
            f'<{name} xmi:id="{number}" sofa="1" begin="{units[start]}" end="{units[end]}"{others}/>\n'
        )
    members = " ".join(str(number) for number in range(2, 2 + len(marks)))
    sofa = '<cas:Sofa xmi:id="1" sofaNum="1" sofaID="_InitialView" mimeType="text" sofaString='
    lines += [f"{sofa}{quoteattr(text, BLANKS)}/>\n", f'<cas:View sofa="1" members="{members}"/>\n']
    return f"{HEAD}{''.join(lines)}</xmi:XMI>\n"
