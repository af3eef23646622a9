"""Letters invented from templates: labels exactly at the slots, splits apart, messages with file and line."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText
from bertinchamps.errors import UserError
from bertinchamps.tasks.deidentification import LABELS, dates, templates, words
from bertinchamps.tasks.deidentification.filling import Values, filled
from bertinchamps.tasks.deidentification.shapes import digits_of, is_nir
from bertinchamps.tasks.deidentification.templates import Slot
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.deidentification import split
from letters import templates as written_templates
from real import real

EXAMPLES = {
    "DATE": [
        "18/02/2019", "3/4/19", "2021/12/10", "01 / 07 | 1995", "31121995", "2 8 0 2 1 9 9 5", "1er mars 2022",
        "05nov", "Sept 01,2026", "juin 2029", "28.09", "2003", "vingt quatre aout deux mille dix-sept",
        "Jeudi 12 mars 2020",
    ],
    "NOM": ["DUPONT", "Le Goff", "TOUDOIRE-SURLAPIERRE", "B. Duhamel"],
    "PRENOM": ["J.", "P-A.", "Marie-Anne", "marie cécile"],
    "TEL": ["01.42.16.40.10", "+33666666666", "(33) 1 45 56 78 90", "73389"],
    "SECU": ["2 9 1 4 8 2 3 9 8 4 2 9 6 5 4", "292418765329890", "8 5 2 8"],
    "VILLE": ["Créteil Cedex", "LA\nBACONNETTE"],
}  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(LABELS), min_size=1, max_size=6),
    st.text("ab é\n", max_size=5),
    st.integers(0, 99),
)
def test_entities_cover_exactly_what_fills_the_slots(labels: list[str], between: str, seed: int) -> None:
    slots = [
        Slot(label, EXAMPLES.get(label, ["12 rue 45"])[seed % len(EXAMPLES.get(label, [1]))])
        for label in labels
    ]
    pieces = tuple(piece for slot in slots for piece in (between + "|", slot))
    template = templates.Template(1, pieces, 0)
    document = filled(template, Values(words.all_words(), random.Random(seed)), "one")
    values = Values(words.all_words(), random.Random(seed))  # draws the same values again
    expected = [(slot.label, values.of(*slot)) for slot in slots]
    found = [(entity.label, document.text[entity.start : entity.end]) for entity, _ in document.by_place()]
    assert found == expected
    assert document.text == "".join(between + "|" + value for _, value in expected)
    assert all(value and value == value.strip() for _, value in expected)


def test_a_template_is_cut_at_its_slots(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text(
        "Dr [Léa](PRENOM)[Petit](NOM)\nle [3 mai](DATE)\n\n\n1 [2-3] x [Lyon](TOWN).\n", encoding="utf-8"
    )
    first, second = templates.read(path, LABELS, {"TOWN": "VILLE"})
    assert first.pieces == (
        "Dr ",
        Slot("PRENOM", "Léa"),
        Slot("NOM", "Petit"),
        "\nle ",
        Slot("DATE", "3 mai"),
    )
    assert second == (5, ("1 [2-3] x ", Slot("VILLE", "Lyon"), "."), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ab\n\nle\n[3 mai](DATTE)", "line 4: no slot has this label; did you mean 'DATE'?"),
        ("ab\n[3 mai](DATE) et [4 mai (DATE)", r"line 2: a bracket '\[' without its partner; a slot is"),
        ("ab\n[3 mai](DATE)\n\n5 mai](DATE)", r"line 4: a bracket '\]' without"),
        ("[3 mai](DATE", "line 1: a bracket"),
        ("[ ](DATE)", "line 1: a slot without an example"),
        ("rien\n\nrien", "no slot in it"),
    ],
)  # fmt: skip
def test_a_wrong_template_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        templates.read(path, LABELS, {})
    assert str(path) in str(error.value)
    assert "mai" not in str(error.value), "messages do not quote the text"


def reader(tmp_path: Path, **settings: object) -> dict[str, list[AnnotatedText]]:
    built = readers.build("deidentification", templates=str(written_templates(tmp_path)), **settings)
    built.check()
    return dict(built.read())  # type: ignore[arg-type]


def test_splits_share_neither_templates_nor_names(tmp_path: Path) -> None:
    known = templates.read(written_templates(tmp_path), LABELS, {})
    parts = split(known, seed=3)
    assert sorted(template.line for part in parts.values() for template in part) == [it.line for it in known]
    assert all(parts.values())
    read = reader(tmp_path, documents=600, seed=3)
    for label in ("NOM", "PRENOM", "VILLE", "HOPITAL", "ADRESSE", "MAIL"):
        values = {
            name: {
                words.plain(document.text[entity.start : entity.end])
                for document in documents
                for entity in document.entities
                if entity.label == label and entity.end - entity.start > 2
            }
            for name, documents in read.items()
        }
        assert not values["train"] & values["test"], label
        assert not values["train"] & values["dev"], label
        assert not values["dev"] & values["test"], label


def test_templates_that_differ_in_their_examples_alone_stay_in_one_split(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("\n\n".join(f"IPP : [{n}](IPP), le {n % 2}" for n in range(100, 140)), encoding="utf-8")
    parts = split(templates.read(path, LABELS, {}), seed=0)
    assert sum(bool(part) for part in parts.values()) == 1


def test_the_seed_decides_every_document(tmp_path: Path) -> None:
    assert reader(tmp_path, documents=60, seed=1) == reader(tmp_path, documents=60, seed=1)
    assert reader(tmp_path, documents=60, seed=1) != reader(tmp_path, documents=60, seed=2)


def test_social_security_numbers_have_valid_check_digits(tmp_path: Path) -> None:
    assert is_nir("255081416802538")
    assert not is_nir("255081416802539")
    numbers = [
        digits_of(document.text[entity.start : entity.end])
        for document in reader(tmp_path, documents=200)["train"]
        for entity in document.entities
        if entity.label == "SECU"
    ]
    assert numbers
    assert all(map(is_nir, numbers))


@pytest.mark.parametrize("text", EXAMPLES["DATE"])
def test_a_date_is_read_and_written_in_its_format(text: str) -> None:
    written = dates.read(text)
    assert written is not None
    if "vingt" not in text and "Jeudi" not in text:  # hyphens may be added
        assert written.written(written.date) == text
    moved = dates.read(written.moved(500))
    assert moved is not None
    assert moved.text != text
    if len(written.parts) == 3:
        assert moved.date == written.date + datetime.timedelta(days=500)


@pytest.mark.parametrize("text", ["30/02/2019", "18X2027", "2 9 0 2 1 9 9", "99/99/99", "hier", ""])
def test_what_is_no_date_is_not_read_as_one(text: str) -> None:
    assert dates.read(text) is None
    scrambled = dates.scrambled(text, random.Random(1).randrange)
    assert len(scrambled) == len(text)
    assert scrambled != text or not digits_of(text)


@settings(deadline=None)
@given(st.dates(datetime.date(1850, 1, 1), datetime.date(2149, 12, 31)))
def test_dates_in_words_are_read_back(date: datetime.date) -> None:
    text = f"{dates.in_words(date.day)} {dates.FULL[date.month - 1]} {dates.in_words(date.year)}"
    written = dates.read(text)
    assert written is not None
    assert written.date == date


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"templates": "absent.txt"}, "task.templates=absent.txt: no such file"),
        ({"templates": "x", "documents": 3}, "task.documents=3: at least 20"),
        ({"templates": "x", "synonyms": {"TOWN": "TOWN"}}, "task.synonyms: spellings → labels"),
    ],
)
def test_wrong_settings_are_messages(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        readers.build("deidentification", **settings).check()


@pytest.mark.real_data
def test_the_real_templates_have_their_slots() -> None:
    path = real("labelled/deidentification") / "templates.txt"
    known = templates.read(path, LABELS, {"ADDRESSE": "ADRESSE"})
    assert sum(isinstance(piece, Slot) for template in known for piece in template.pieces) == 1925
    with pytest.raises(UserError, match=r"line \d+: no slot has this label; did you mean 'ADRESSE'"):
        templates.read(path, LABELS, {})
