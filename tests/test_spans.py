"""What blanks and invisible characters do not decide: fragments over line ends, and how offsets were counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.error_analysis import error_analysis
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.spans import Fragments, joined, other_counting

TEXT = "Fracture du\r\n col du fémur"


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        (((0, 11), (14, 17)), ((0, 17),)),
        (((0, 8), (9, 11), (14, 17), (18, 20)), ((0, 20),)),
        (((0, 4), (4, 8)), ((0, 8),)),
        (((0, 8), (14, 17)), ((0, 8), (14, 17))),
        (((0, 11), (100, 110)), ((0, 11), (100, 110))),  # beyond the text nothing is known
    ],
)
def test_fragments_with_nothing_but_blanks_between_are_one(fragments: Fragments, expected: Fragments) -> None:
    assert joined(TEXT, fragments) == expected


def test_invisible_characters_lie_between_as_blanks_do() -> None:
    assert joined("a\u200b\n\u00adb", ((0, 1), (4, 5))) == ((0, 5),)


@given(st.text("ab \n", min_size=1, max_size=20), st.sets(st.integers(0, 20), min_size=2, max_size=8))
def test_what_is_joined_covers_the_same_letters(text: str, cuts: set[int]) -> None:
    bounds = sorted(cut for cut in cuts if cut <= len(text))
    fragments = tuple(zip(bounds[::2], bounds[1::2], strict=False))
    letters = [place for start, end in fragments for place in range(start, end) if text[place] in "ab"]
    whole = joined(text, fragments)
    assert [place for start, end in whole for place in range(start, end) if text[place] in "ab"] == letters
    assert joined(text, whole) == whole


@pytest.mark.parametrize("scores", [strict_scores, nested_exact_scores])
def test_scores_join_fragments_on_both_sides(scores: object) -> None:
    apart = AnnotatedText("a", TEXT, (Entity("DISO", ((0, 11), (14, 17))),))
    whole = AnnotatedText("a", TEXT, (Entity("DISO", ((0, 17),)),))
    for gold, predicted in ((apart, whole), (whole, apart), (apart, apart)):
        assert scores([gold], [predicted])["f1"] == 1.0  # type: ignore[operator]
    assert "| **all** | 1 | 0 | 0 | 0 | 0 | 0 |" in error_analysis([apart], [whole])


def test_offsets_that_fit_no_counting_get_no_hint() -> None:
    assert other_counting("Prise d'aspirine", ((0, 3),), "ibuprofène") == ""
    assert other_counting("", ((0, 3),), "") == ""
