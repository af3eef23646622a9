"""The share of a document's words that word lists have decides whether it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.contract import Document
from bertinchamps.data.cleaning import cleaning_problems
from bertinchamps.data.cleaning.cleaner import clean
from bertinchamps.data.cleaning.counts import Count
from bertinchamps.data.cleaning.stages import shaping
from bertinchamps.errors import UserError


@pytest.fixture
def terms(tmp_path: Path) -> Path:
    file = tmp_path / "terms.txt"
    file.write_text("Cancer du sein\nfièvre\n", encoding="utf-8")
    return file


def run(texts: Iterable[str], terms: Path, least: float) -> tuple[list[str], Count]:
    node = {"name": "density", "files": [str(terms)], "least": least}
    documents, (count,) = clean((Document(text, "") for text in texts), [node])
    return [document.text for document in documents], count


def test_documents_with_too_few_words_of_the_list_are_dropped(terms: Path) -> None:
    half = "FIÈVRE, sein. Du du"  # two of four: stop words of a list are not its words
    quarter = "fie\u0300vre une deux trois"  # composed before it is compared
    none = "du du du du"
    assert run([half, quarter, none], terms, 0.5)[0] == [half]
    kept, count = run([half, quarter, none], terms, 0.25)
    assert kept == [half, quarter]
    assert count.dropped == {"few words of the lists": 1}
    assert run([half, "… !"], terms, 0.25)[0] == [half]  # no words at all


def test_another_list_under_the_same_name_is_another_corpus(terms: Path) -> None:
    node = {"name": "density", "files": [str(terms)]}
    before = shaping([node])
    assert shaping([node]) == before
    terms.write_text("toux\n", encoding="utf-8")
    after = shaping([node])
    assert after != before
    assert str(terms) not in str(after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"least": 0}, "cleaning.least=0: a share of words above 0 and up to 1"),
        ({"least": 2.0}, "cleaning.least=2.0: a share of words above 0 and up to 1"),
        ({"files": []}, "cleaning.files: no word list is given"),
        ({"files": ["nowhere.txt"]}, "cleaning.files: nowhere.txt: no such file"),
    ],
)
def test_mistakes_are_reported(changes: dict[str, Any], message: str, terms: Path) -> None:
    (problem,) = cleaning_problems([{"name": "density", "files": [str(terms)], **changes}])
    assert problem.startswith(message)


def test_a_list_without_a_word_is_refused(terms: Path) -> None:
    terms.write_text("du\nde la\n", encoding="utf-8")
    with pytest.raises(UserError, match="no word in"):
        run(["une fièvre"], terms, 0.5)
