"""Surrogates: offsets, one person one name, dates by one offset, formats kept, no original left."""

from __future__ import annotations

import random
import re
import string
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_deidentification import EXAMPLES

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.deidentification import LABELS, dates, words
from bertinchamps.tasks.deidentification.filling import Values
from bertinchamps.tasks.deidentification.replacing import Edited, Identifier, identifiers_of, replacers
from bertinchamps.tasks.deidentification.shapes import digits_of, is_nir
from bertinchamps.tasks.deidentification.surrogates import Surrogates


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("0123456789abcdef")
    return str(tmp_path / "key")


def marked(text: str) -> tuple[str, list[Identifier]]:
    """The text without marks, and its identifiers: "Mme [Dupont](NOM)"."""
    parts: list[Identifier] = []
    plain = ""
    for match in re.finditer(r"([^\[]*)(?:\[([^\]]+)\]\((\w+)\)|$)", text):
        plain += match[1]
        if match[2]:
            parts.append(Identifier(len(plain), len(plain) + len(match[2]), match[3]))
            plain += match[2]
    return plain, parts


def replaced(text: str, surrogates: Surrogates, name: str = "a") -> list[str]:
    plain, parts = marked(text)
    return surrogates.surrogates(name, plain, parts)


def test_one_person_has_one_surrogate_in_all_parts_of_the_name(key: str) -> None:
    short, long, upper, first, initial, mail, other = replaced(
        "M. [DUPONT](NOM), [Jean Dupont](NOM), [Dupont](NOM), [Jean](PRENOM), [J.](PRENOM), "
        "[jean.dupont@chu.fr](MAIL), Mme [Durand](NOM)",
        Surrogates(key_file=key),
    )
    assert short == upper.upper()
    assert short.isupper()
    given, surname = long.split()
    assert (given, surname) == (first, upper)
    assert initial == f"{given[0]}."
    assert mail == f"{words.plain(given)}.{words.plain(surname)}@exemple.fr"
    assert other not in (upper, given)


def test_first_names_keep_their_gender(key: str) -> None:
    known = words.all_words()
    female = [words.plain(name) for name in known.female if name not in known.male]
    names = [name for name in female[:40] if name not in map(words.plain, known.male)]
    found = replaced(" ".join(f"[{name.capitalize()}](PRENOM)" for name in names), Surrogates(key_file=key))
    assert all(words.plain(name) in map(words.plain, known.female) for name in found)


def test_dates_move_by_one_offset_in_their_formats(key: str) -> None:
    found = replaced(
        "[18/02/2019](DATE) [20.02.19](DATE) [20 février 2019](DATE) [30/02/2019](DATE) "
        "[2 8 0 2 1 9 9 5](DATE_NAISSANCE)",
        Surrogates(key_file=key),
    )
    first, second, third, invalid, birth = found
    moved = [dates.read(text) for text in (first, second, third, birth)]
    assert all(moved)
    days = [date.date for date in moved if date]
    assert (days[1] - days[0]).days == 2
    assert days[1] == days[2]
    assert (days[0] - days[3]).days == 8756
    assert re.fullmatch(r"\d\d/\d\d/\d{4}", invalid)
    assert invalid != "30/02/2019"
    assert re.fullmatch(r"\d( \d){7}", birth)
    assert re.fullmatch(r"\d\d\.\d\d\.\d\d", second)


def test_numbers_keep_their_form(key: str) -> None:
    phone, abroad, nir, code, mail, ipp = replaced(
        "[01.42.16.40.10](TEL) [+33 1 42 16 40 10](TEL) [2 50 05 75 013 001 84](SECU) [75013](ZIP) "
        "[acc_12@labo-nord.com](MAIL) [N11232344](IPP)",
        Surrogates(key_file=key),
    )
    assert re.fullmatch(r"0[1-9](\.\d\d){4}", phone)
    assert abroad.startswith("+33 ")
    assert is_nir(digits_of(nir))
    assert re.fullmatch(r"2 \d\d \d\d \d\d \d{3} \d{3} \d\d", nir)
    assert re.fullmatch(r"\d{5}", code)
    assert re.fullmatch(r"[A-Z]\d{8}", ipp)
    assert re.fullmatch(r"\w+_\d\d\d*@exemple\.com", mail)


@settings(deadline=None)
@given(st.lists(st.sampled_from([*LABELS, "ROOM"]), min_size=1, max_size=8), st.integers(0, 10_000))
def test_no_original_is_left(labels: list[str], seed: int) -> None:
    values = Values(words.all_words().of("train"), random.Random(seed))
    parts, text = [], ""
    for place, label in enumerate(labels):
        example = random.Random(seed + place).choice(EXAMPLES.get(label, ["12 rue Blanche 45"]))
        value = values.of(label, example) if label != "ROOM" else "B12"
        parts.append(Identifier(len(text) + 1, len(text) + 1 + len(value), label))
        text += f"|{value}"
    found = Surrogates().surrogates("a", text, parts)
    for (start, end, label), value in zip(parts, found, strict=True):
        original = text[start:end]
        assert value, label
        assert words.plain(value) != words.plain(original), label
        if label in ("NOM", "PRENOM"):
            own = {word for word in words.plain(original).replace(".", " ").split() if len(word) > 1}
            assert not (own - words.PARTICLES - words.TITLES) & set(words.plain(value).split())


def test_the_key_decides_and_the_scope_joins_documents(tmp_path: Path, key: str) -> None:
    text = "[Dupont](NOM) [18/02/2019](DATE) [75013](ZIP)"
    assert replaced(text, Surrogates(key_file=key)) == replaced(text, Surrogates(key_file=key))
    assert replaced(text, Surrogates(key_file=key)) != replaced(text, Surrogates(key_file=key), "b")
    assert replaced(text, Surrogates()) != replaced(text, Surrogates())
    one, two = (replaced(text, Surrogates(scope="corpus", key_file=key), name) for name in "ab")
    assert (one[0], one[2]) == (two[0], two[2])
    assert one[1] != two[1], "dates move by an offset of each document"


def test_two_persons_of_a_document_never_become_one(key: str) -> None:
    surnames = words.all_words().surnames[:300]
    found = replaced(" ".join(f"[{name}](NOM)" for name in surnames), Surrogates(key_file=key))
    assert len(set(found)) == len(surnames)


def test_overlapping_and_nested_entities_become_one_part() -> None:
    text = "Jean Dupont-Lyon, Nice"
    entities = (
        Entity("NOM", ((0, 11),)), Entity("PRENOM", ((0, 4),)), Entity("VILLE", ((5, 16),)),
        Entity("VILLE", ((18, 22),)),
    )  # fmt: skip
    assert identifiers_of(AnnotatedText("a", text, entities)) == [(0, 16, "NOM"), (18, 22, "VILLE")]
    assert identifiers_of(AnnotatedText("a", text, entities), ["PRENOM"]) == [(0, 4, "PRENOM")]
    apart = (Entity("NOM", ((0, 4),)), Entity("PRENOM", ((4, 8),)))
    assert len(identifiers_of(AnnotatedText("a", text, apart))) == 2


@settings(deadline=None)
@given(st.data())
def test_annotations_that_stay_are_moved_along(data: st.DataObject) -> None:
    text = data.draw(st.text(string.ascii_lowercase, min_size=1, max_size=30))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    parts = [Identifier(start, end, "X") for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    written = [data.draw(st.text(string.ascii_uppercase, min_size=1, max_size=9)) for _ in parts]
    edited = Edited(text, parts, written)
    hidden = {place for part in parts for place in range(part.start, part.end)}
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            (moved,) = edited.moved([Entity("Y", ((start, end),))])
            covered = edited.text[moved.start : moved.end]
            kept = "".join(text[place] for place in range(start, end) if place not in hidden)
            assert "".join(filter(str.islower, covered)) == kept
            touched = [
                value
                for part, value in zip(parts, written, strict=True)
                if part.start < end and start < part.end
            ]
            assert "".join(filter(str.isupper, covered)) == "".join(touched)


def test_faker_is_missed_before_anything_is_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faker.providers.person.fr_BE", None)
    words.all_words.cache_clear()
    (told,) = replacers.problems("surrogates", {})
    assert "Faker, which is not installed: pip install 'bertinchamps[deidentification]'" in told
    assert replacers.problems("tags", {}) == []


def test_wrong_settings_are_messages(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("guess")
    assert replacers.problems("surrogates", {"scope": "patient", "key_file": str(short)}) == [
        "deidentify.scope=patient: one of document, corpus",
        f"deidentify.key_file={short}: holds fewer than 16 bytes, which can be guessed; "
        "write a new one with `openssl rand -hex 32 > FILE`",
    ]
    with pytest.raises(UserError, match="did you mean 'tags'"):
        replacers.build("tag")
