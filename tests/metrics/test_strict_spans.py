"""The protocol "strict": the flat representation, and the same numbers as seqeval's strict mode."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings

from annotated import corpora
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.spans import flat_entities


def contiguous(label: str, start: int, end: int) -> Entity:
    return Entity(label, ((start, end),))


def iob2(chosen: tuple[Entity, ...], cuts: list[int]) -> list[str]:
    """Tags of the pieces between cuts, which include all boundaries of the entities."""
    tags = []
    for start, end in pairwise(cuts):
        around = next((entity for entity in chosen if entity.start <= start and end <= entity.end), None)
        tags.append("O" if around is None else f"{'B' if around.start == start else 'I'}-{around.label}")
    return tags


@settings(deadline=None)
@given(corpora())
def test_the_scores_are_those_of_seqeval_in_strict_mode(
    corpus: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    gold, predicted = corpus
    truth, answers = [], []
    for text, other in zip(gold, predicted, strict=True):
        wanted, found = flat_entities(text), flat_entities(other)
        cuts = sorted({0, len(text.text), *(b for e in (*wanted, *found) for b in (e.start, e.end))})
        truth.append(iob2(wanted, cuts))
        answers.append(iob2(found, cuts))
    scores = strict_scores(gold, predicted)
    if scores["support"] + scores["predicted"] == 0:
        return
    report = classification_report(
        truth, answers, mode="strict", scheme=IOB2, output_dict=True, zero_division=0
    )
    theirs = {label: report[label] for label in report if not label.endswith("avg")}
    assert theirs.keys() == scores["types"].keys()
    for label, ours in [("micro avg", scores), *scores["types"].items()]:
        assert ours["support"] == report[label]["support"]
        for mine, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert ours[mine] == pytest.approx(report[label][name], abs=1e-12)


@settings(deadline=None)
@given(corpora())
def test_perfect_predictions_score_one(corpus: tuple[list[AnnotatedText], list[AnnotatedText]]) -> None:
    gold, _ = corpus
    scores = strict_scores(gold, gold)
    perfect = 1.0 if scores["support"] else 0.0
    assert scores["precision"] == scores["recall"] == scores["f1"] == perfect
    assert all(of_type["f1"] == 1.0 for of_type in scores["types"].values())


@settings(deadline=None)
@given(corpora())
def test_precision_is_recall_seen_from_the_other_side(
    corpus: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    there, back = strict_scores(*corpus), strict_scores(*corpus[::-1])
    assert (there["precision"], there["recall"]) == (back["recall"], back["precision"])
    assert there["f1"] == back["f1"]
    assert sum(of_type["support"] for of_type in there["types"].values()) == there["support"]


@settings(deadline=None)
@given(corpora())
def test_the_order_of_documents_decides_nothing(
    corpus: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    gold, predicted = corpus
    assert strict_scores(gold, predicted[::-1]) == strict_scores(gold, predicted)


@pytest.mark.parametrize("edge", [" ", "\n", "\u200b", "\u00ad", "\ufeff"])
def test_what_cannot_be_seen_at_an_edge_does_not_count(edge: str) -> None:
    text = f"Prise{edge}d'aspirine{edge}ce soir"
    start = text.index("d'")
    exact = AnnotatedText("a", text, (contiguous("CHEM", start, start + 10),))
    for entity in (
        contiguous("CHEM", start - 1, start + 11),
        Entity("CHEM", ((start - 1, start + 2), (start + 2, start + 11))),
    ):
        wide = AnnotatedText("a", text, (entity,))
        assert strict_scores([wide], [exact])["f1"] == strict_scores([exact], [wide])["f1"] == 1.0


def test_documents_that_do_not_correspond_are_refused() -> None:
    text = AnnotatedText("a", "toux", ())
    with pytest.raises(UserError, match="no predictions, the first is number 2"):
        strict_scores([text, text._replace(name="b")], [text])
    with pytest.raises(UserError, match="the predicted documents 1 and 2 have one name"):
        strict_scores([text], [text, text])
    with pytest.raises(UserError, match="another text") as refusal:
        strict_scores([text], [text._replace(text="rhume")])
    assert "toux" not in str(refusal.value)
    assert "rhume" not in str(refusal.value)
