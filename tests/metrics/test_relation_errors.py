"""The page on errors of relations: its counts are those of the scores, and it quotes what it counts."""

from __future__ import annotations

import re

from bertinchamps.contract import Entity, RelatedText, Relation
from bertinchamps.metrics.error_pages import WARNING
from bertinchamps.metrics.relation_errors import relation_error_counts, relation_errors
from bertinchamps.metrics.relations import relation_scores

TEXT = "Le CRP est à 12 mg/l, la VS à 40 | mm, le Na à 140, le K à 4 et le Ca à 2."
WORDS = ("CRP", "12 mg/l", "VS", "40 | mm", "Na", "140", "K", "4", "Ca", "2.")


def place(word: str, after: int = 0) -> Entity:
    start = TEXT.index(word, after)
    return Entity("X", ((start, start + len(word)),))


ENTITIES = tuple(sorted(place(word, TEXT.index("K à") if word == "4" else 0) for word in WORDS))


def text(*links: tuple[str, str, str]) -> RelatedText:
    by_word = {TEXT[each.start : each.end]: number for number, each in enumerate(ENTITIES)}
    relations = (Relation(label, by_word[head], by_word[tail]) for label, head, tail in links)
    return RelatedText("note_1", TEXT, ENTITIES, tuple(sorted(relations)))


def test_each_kind_of_error_is_told_apart_counted_and_quoted() -> None:
    gold = text(("of", "12 mg/l", "CRP"), ("of", "40 | mm", "VS"), ("of", "140", "Na"), ("of", "4", "K"))
    predicted = text(
        ("of", "12 mg/l", "CRP"), ("is", "40 | mm", "VS"), ("of", "Na", "140"), ("of", "2.", "Ca")
    )
    page = relation_errors([gold], [predicted])
    assert page.startswith(WARNING)
    assert "| of | 1 | 1 | 1 | 1 | 1 |" in page
    scores = relation_scores([gold], [predicted])
    assert (scores["tp"], scores["fn"], scores["fp"]) == (1, 3, 3)
    assert "True positives: 1. False negatives: 3. False positives: 3." in page
    sections = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(by_title) == ["Wrong type", "Wrong direction", "Missed", "Spurious", "Legend"]
    assert "### of → is (1)" in by_title["Wrong type"].replace("\\", "")
    assert (
        "- 1 ×: 40 \\| mm → VS: “est à 12 mg/l, la **VS** à **40 \\| mm**, le Na à 140,"
        in by_title["Wrong type"]
    )
    assert "140 → Na" in by_title["Wrong direction"]
    assert "4 → K" in by_title["Missed"]
    assert "2. → Ca" in by_title["Spurious"]
    counts = relation_error_counts([gold], [predicted])
    assert counts["columns"] == ["type", "correct", "wrong type", "wrong direction", "missed", "spurious"]
    assert counts["rows"] == [["of", 1, 1, 1, 1, 1], ["all", 1, 1, 1, 1, 1]]
    assert counts["confusions"] == [["of", "is", 1]]


def test_a_long_way_between_the_arguments_is_cut() -> None:
    far = TEXT[: TEXT.index("Na")] + "puis rien du tout " * 40 + TEXT[TEXT.index("Na") :]
    start = far.index("140")
    entities = (Entity("X", ((3, 6),)), Entity("X", ((start, start + 3),)))
    document = RelatedText("a", far, entities, (Relation("of", 1, 0),))
    page = relation_errors([document], [document._replace(relations=())])
    (quoted,) = [line for line in page.splitlines() if line.startswith("- 1 ×")]
    assert "\\[…\\]" in quoted
    assert len(quoted) < 400
