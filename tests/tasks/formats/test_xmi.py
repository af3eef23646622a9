"""XMI of UIMA: offsets become characters, and what is not as UIMA writes it is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xmi_files import BEGIN, annotation, sofa

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import xmi

DOCTYPE = (
    '<!DOCTYPE XMI [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
)


def read(*elements: str, types: tuple[str, ...] = ("CLINENTITY",), begin: str = BEGIN) -> AnnotatedText:
    content = (begin + "".join(elements) + "</xmi:XMI>").encode()
    return xmi.read_document(content, "layer1/FR100003", types)


def refused(*elements: str, **more: str) -> str:
    with pytest.raises(UserError) as caught:
        read(*elements, **more)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith("layer1/FR100003.xml: ")
    assert "fièvre" not in message
    return message.removeprefix("layer1/FR100003.xml: ")


def test_annotations_of_the_types_that_are_asked_for() -> None:
    elements = [
        annotation(12, 18), annotation(0, 18), annotation(0, 18), annotation(0, 4, "EVENT"),
        '<custom:RMLLink xmi:id="9" role="PERTAINS" target="7"/>\n', sofa("Toux & vraie fièvre\n"),
    ]  # fmt: skip
    clinical = [Entity("CLINENTITY", ((0, 18),))] * 2 + [Entity("CLINENTITY", ((12, 18),))]
    assert read(*elements) == AnnotatedText("FR100003", "Toux & vraie fièvre\n", tuple(clinical))
    both = read(*elements, types=("CLINENTITY", "EVENT"))
    assert both.entities == (*clinical, Entity("EVENT", ((0, 4),)))
    assert read(*elements, types=("RMLLink",)).entities == ()


def test_a_character_beyond_the_first_plane_is_two_units() -> None:
    text = "💊 fièvre 𝛃 toux"
    entities = read(
        annotation(0, 2), annotation(3, 9), annotation(10, 12), annotation(13, 17), sofa(text)
    ).entities
    assert [text[entity.start : entity.end] for entity in entities] == ["💊", "fièvre", "𝛃", "toux"]
    told = refused(annotation(0, 2), annotation(1, 9), sofa(text))
    assert told.startswith("line 3: begin of CLINENTITY is no place in the text, whose offsets are 0 to 17")


TEXTS = st.text(
    st.characters(codec="utf-8", categories=["L", "S", "Zs"]) | st.sampled_from("é💊\n\t"), min_size=1
)


@given(TEXTS, st.data())
def test_offsets_are_those_of_java(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    units = [len(text[:place].encode("utf-16-le")) // 2 for place in (start, end)]
    document = read(annotation(*units), sofa(text))
    assert document.text == text
    assert document.entities == (Entity("CLINENTITY", ((start, end),)),)


@pytest.mark.parametrize(
    ("elements", "told"),
    [
        ([annotation(0, 6)], "0 texts (elements Sofa with sofaString) where one is expected"),
        ([sofa("fièvre"), sofa("toux", 13)], "2 texts"),
        ([annotation(0, 6, text=13), sofa("fièvre")], "line 2: CLINENTITY is an annotation of another text"),
        ([annotation(0, 7), sofa("fièvre")], "line 2: end of CLINENTITY is no place in the text, whose offsets are"),
        ([annotation(-1, 3), sofa("fièvre")], "line 2: begin of CLINENTITY is no place in the text"),
        ([annotation(0, "9" * 5000), sofa("fièvre")], "line 2: end of CLINENTITY is no place in the text"),
        ([annotation(0, "٣"), sofa("fièvre")], "line 2: end of CLINENTITY is no place in the text"),
        ([annotation(3, 3), sofa("fièvre")], "line 2: CLINENTITY has no character"),
        ([sofa("fièvre"), "\n<open>"], "line 4: not well-formed XML"),
        ([sofa("fièvre"), "&undeclared;"], "line 3: not well-formed XML"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_line(elements: list[str], told: str) -> None:
    assert refused(*elements).startswith(told)


def test_a_document_type_is_refused_before_its_entities_are_read() -> None:
    head, _, root = BEGIN.partition("?>")
    for doctype in (DOCTYPE, '<!DOCTYPE XMI SYSTEM "file:///etc/hostname">', "<!DOCTYPE XMI [ never closed"):
        told = refused(sofa("&c;"), begin=f"{head}?>\n{doctype}{root}")
        assert told.startswith("line 2: a document type declaration (<!DOCTYPE)")


def test_bytes_that_are_not_in_the_encoding_of_the_file() -> None:
    for content in (
        BEGIN.encode() + b"\xff\xfe",
        b'<?xml version="1.0" encoding="klingon"?><a/>',
        b"",
        b"PK\x03\x04",
    ):
        with pytest.raises(UserError, match=r"note\.xml: line \d+: not well-formed XML"):
            xmi.read_document(content, "note", ())
