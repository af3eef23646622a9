"""The page on errors: its counts are those of nested exact, and it says what it is."""

from __future__ import annotations

import re

from hypothesis import given, settings

from annotated import corpora
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.error_analysis import error_analysis
from bertinchamps.metrics.error_pages import WARNING
from bertinchamps.metrics.nested_exact import nested_exact_scores

TEXT = "Patient sous furosémide depuis lundi,\navec œdèmes des deux jambes et une toux | sèche."


def entity(label: str, words: str) -> Entity:
    start = TEXT.index(words)
    return Entity(label, ((start, start + len(words)),))


def text(*entities: Entity) -> AnnotatedText:
    return AnnotatedText("note_1", TEXT, tuple(sorted(entities)))


def test_each_kind_of_error_is_told_apart_and_quoted() -> None:
    gold = text(
        entity("CHEM", "furosémide"),
        entity("DISO", "œdèmes des deux jambes"),
        entity("ANAT", "jambes"),
        entity("DISO", "toux | sèche"),
    )
    predicted = text(
        entity("PROC", "furosémide"),
        entity("DISO", "œdèmes"),
        entity("DISO", "toux | sèche"),
        entity("LIVB", "Patient"),
    )
    page = error_analysis([gold], [predicted])
    assert page.startswith(WARNING)
    assert "stays on this disk" in page.splitlines()[0]
    assert "| **all** | 1 | 1 | 1 | 1 | 1 | 1 |" in page
    assert "True positives: 1. False negatives: 3. False positives: 3." in page
    assert "| CHEM | 1 |" in page
    assert "- 1 ×: “Patient sous **furosémide** depuis lundi, avec œdèmes des” (note\\_1)" in page
    assert "**œdèmes des deux jambes** et une toux \\| sèche.” → “" in page
    sections = re.split(r"^## (.*)$", page, flags=re.MULTILINE)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(by_title) == ["Wrong type", "Wrong boundaries", "Missed", "Spurious", "Legend"]
    assert "ANAT (1)" in by_title["Missed"]
    assert "**Patient** sous furosémide" in by_title["Spurious"]


def test_the_most_frequent_wording_comes_first() -> None:
    words = ["toux", "asthme", "asthme", "toux", "Toux"]
    gold = [
        AnnotatedText(str(n), f"une {word}", (Entity("DISO", ((4, 4 + len(word)),)),))
        for n, word in enumerate(words)
    ]
    page = error_analysis(gold, [document._replace(entities=()) for document in gold])
    assert re.findall(r"- (\d) ×: “une \*\*(\w+)\*\*” \((\d)\)", page) == [
        ("3", "toux", "0"),
        ("2", "asthme", "1"),
    ]


@settings(deadline=None)
@given(corpora())
def test_the_counts_add_up_to_those_of_nested_exact(
    corpus: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    page, scores = error_analysis(*corpus), nested_exact_scores(*corpus)
    found = re.search(
        r"^True positives: (\d+)\. False negatives: (\d+)\. False positives: (\d+)\.$", page, re.M
    )
    assert found is not None
    assert [int(count) for count in found.groups()] == [scores["tp"], scores["fn"], scores["fp"]]
    rows = re.findall(r"^\| (\*\*all\*\*|[A-Z]{4}) \|((?: \d+ \|){6})$", page, re.M)
    counts = {label: [int(count) for count in row.split("|")[:-1]] for label, row in rows}
    of_all = counts.pop("**all**")
    assert counts.keys() == scores["types"].keys()
    for label, of_type in scores["types"].items():
        correct, boundaries, wrong_type, missed, wrongly, spurious = counts[label]
        assert correct == of_type["tp"]
        assert boundaries + wrong_type + missed == of_type["fn"]
        assert boundaries + wrongly + spurious == of_type["fp"]
    assert of_all == [sum(row[i] for row in counts.values()) for i in range(6)]


def test_no_error_at_all() -> None:
    page = error_analysis([text()], [text()])
    assert page.count("None.") == 4
