"""The page of displaCy: one file, everything escaped, every entity drawn."""

from __future__ import annotations

import html
import re
import sys
import time
from pathlib import Path

import pytest

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats.displacy import write_page

TEXT = "Fracture <b>du</b> col & tibia\n\nFin de l'histoire"


def page(tmp_path: Path, *documents: AnnotatedText) -> str:
    pytest.importorskip("spacy", reason="spaCy is not installed")
    path = tmp_path / "new" / "notes.html"
    write_page(path, documents)
    return path.read_text(encoding="utf-8")


def shown(markup: str) -> str:
    """What a browser shows, blanks as one space."""
    body = markup.partition("<body>")[2]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_entities_apart_are_marked_in_the_text(tmp_path: Path) -> None:
    entities = (Entity("ANAT", ((19, 22),)), Entity("DI<SO", ((0, 8), (25, 30))))
    markup = page(tmp_path, AnnotatedText("<note>", TEXT, entities))
    assert shown(markup) == "<note> Fracture DI<SO 1/2 <b>du</b> col ANAT & tibia DI<SO 2/2 Fin de l'histoire"
    assert "<mark" in markup


def test_entities_inside_one_another_are_underlined(tmp_path: Path) -> None:
    entities = (Entity("ANAT", ((19, 22),)), Entity("DISO", ((0, 22),)))
    markup = page(tmp_path, AnnotatedText("note", TEXT, entities))
    assert "<mark" not in markup
    assert shown(markup) == "note Fracture DISO <b>du</b> col ANAT & tibia Fin de l'histoire"


def test_an_entity_over_lines_and_inside_a_word_is_whole(tmp_path: Path) -> None:
    entities = (Entity("A", ((25, 35),)), Entity("B", ((29, 33),)), Entity("C", ((40, 41),)))
    assert len(re.findall(r"\b[ABC]\b", shown(page(tmp_path, AnnotatedText("n", TEXT, entities))))) == 3


def test_the_file_stands_alone(tmp_path: Path) -> None:
    markup = page(tmp_path, AnnotatedText("a", TEXT, ()), AnnotatedText("b", "été", ()))
    assert '<meta charset="utf-8">' in markup
    assert not re.search(r"https?:|src=|href=|<script|<link|@import|url\(", markup)
    assert shown(markup).endswith(" b été")


def test_equal_labels_have_one_colour_and_others_another(tmp_path: Path) -> None:
    entities = (Entity("A", ((0, 1), (2, 3))), Entity("B", ((4, 5),)))
    markup = page(tmp_path, AnnotatedText("n", "a b c", entities))
    colours = re.findall(r'class="entity" style="background: (#\w+)', markup)
    assert colours[0] == colours[1] != colours[2]


def test_a_long_text_takes_seconds(tmp_path: Path) -> None:
    line = "la fracture du col du fémur\n"
    entities = [Entity("D", ((n * len(line) + 3, n * len(line) + 18),)) for n in range(3000)]
    entities += [Entity("A", ((n * len(line) + 15, n * len(line) + 18),)) for n in range(3000)]
    page(tmp_path, AnnotatedText("warm", "a", ()))
    began = time.monotonic()
    markup = page(tmp_path, AnnotatedText("n", line * 3000, tuple(sorted(entities))))
    assert shown(markup).count("D") == 3000
    assert time.monotonic() - began < 30


def test_without_spacy_the_remedy_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UserError, match=r"pip install 'spacy>=3\.8'"):
        write_page(tmp_path / "a.html", [AnnotatedText("n", "a", ())])
