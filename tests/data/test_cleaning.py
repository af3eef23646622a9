"""Cleaning steps keep what they should, drop what they should, and count both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import Document
from bertinchamps.data.cleaning import cleaning_problems
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.counts import Count
from bertinchamps.data.cleaning.lines import lines

NOTICE = "Gardez cette notice, vous pourriez avoir besoin de la relire."
FRENCH = "Le patient présente une douleur du genou droit depuis hier soir, sans fièvre ni traumatisme."


def run(texts: list[str], **step: Any) -> tuple[list[str], Count]:
    documents, (count,) = clean((Document(text, "") for text in texts), [step])
    return [document.text for document in documents], count


def test_mojibake_is_mended_and_typography_is_not() -> None:
    kept, count = run(["Le dÃ©cÃ¨s", "L’œdème « aigu »", "50 ﬁlms"], name="unicode")
    assert kept == ["Le décès", "L’œdème « aigu »", "50 ﬁlms"]
    assert count.mended == 1


def test_tables_are_dropped_and_sentences_are_not() -> None:
    kept, count = run([FRENCH, "12 | 4,5 | 7 || 12 %", "", "42"], name="symbols")
    assert kept == [FRENCH, ""]
    assert count.dropped == {"too few letters": 2}


def test_other_languages_are_dropped_and_what_is_too_short_to_tell_is_kept() -> None:
    english = "The patient has had pain in the right knee since last night, without fever or trauma."
    kept, count = run([FRENCH, english, "Paracetamol 500 mg"], name="french")
    assert kept == [FRENCH, "Paracetamol 500 mg"]
    assert count.dropped == {"not French": 1}


def sentence(random: np.random.Generator, length: int = 200) -> list[str]:
    return [f"mot{number}" for number in random.integers(0, 5000, length)]


def test_near_copies_are_dropped_and_the_rest_is_kept() -> None:
    random = np.random.default_rng(0)
    originals = [sentence(random) for _ in range(50)]
    copies = []
    for words in originals:  # one word in 200: four runs of five in a hundred differ
        copy = list(words)
        copy[100] = "autre"
        copies.append(copy)
    halves = [[*words[:100], *sentence(random, 100)] for words in originals]
    texts = [" ".join(words) for words in (*originals, *halves, *copies)]
    kept, count = run(texts, name="near_duplicates")
    assert kept == texts[:100]
    assert count.dropped == {"near duplicate": 50}
    assert run(["", "", "Un", "un !"], name="near_duplicates")[0] == ["", "Un"]


def test_the_choice_of_near_copies_is_the_same_every_time() -> None:
    random = np.random.default_rng(1)
    base = sentence(random)
    texts = []
    for changed in range(0, 60, 2):
        words = list(base)
        words[:changed] = sentence(random, changed)
        texts.append(" ".join(words))
    first, second = (run(texts, name="near_duplicates")[0] for _ in range(2))
    assert first == second
    assert 1 <= len(first) < len(texts)


def test_lines_that_come_again_and_again_are_taken_out() -> None:
    texts = [f"{NOTICE} Contient {number} comprimés de la boîte bleue." for number in range(5)] + [NOTICE]
    kept, count = run(texts, name="repeated_lines", most=2)
    assert kept[:2] == texts[:2]
    assert kept[2:] == [f"Contient {number} comprimés de la boîte bleue." for number in range(2, 5)]
    assert count.mended == 3
    assert count.dropped == {"nothing but repeated lines": 1}
    assert run(["Oui.\nOui.\nOui."], name="repeated_lines", most=1)[0] == ["Oui.\nOui.\nOui."]


@given(st.text(alphabet="a. \n·!é", max_size=40))
def test_lines_make_up_the_text(text: str) -> None:
    assert "".join(lines(text)) == text


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"name": "symbols", "letters": 60}, "cleaning.letters=60"),
        ({"name": "near_duplicates", "similarity": 1.0}, "cleaning.similarity=1.0"),
        ({"name": "near_duplicates", "words": 0}, "cleaning.words=0"),
        ({"name": "repeated_lines", "most": 0}, "cleaning.most=0"),
    ],
)
def test_wrong_settings_are_named(step: dict[str, Any], problem: str) -> None:
    (found,) = cleaning_problems([step])
    assert found.startswith(problem)
