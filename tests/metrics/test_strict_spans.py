"""The protocol "strict": the flat representation, and the same numbers as seqeval's strict mode."""

from __future__ import annotations

from itertools import pairwise

import pytest
from annotated import corpora, entities
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.metrics.strict_spans import flat_entities, flatten, strict_scores


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
@given(st.lists(entities(7), max_size=8))
def test_flat_entities_are_contiguous_apart_and_of_the_input(given_entities: list[Entity]) -> None:
    flat = flatten(given_entities)
    assert all(a.end <= b.start for a, b in pairwise(flat))
    ranges = {contiguous(entity.label, entity.start, entity.end) for entity in given_entities}
    assert set(flat) <= ranges
    assert flatten(flat) == flat


@settings(deadline=None)
@given(st.lists(entities(7), max_size=8))
def test_what_was_left_out_overlaps_a_kept_one_at_least_as_long(given_entities: list[Entity]) -> None:
    flat = flatten(given_entities)
    for entity in given_entities:
        length = entity.end - entity.start
        assert any(
            kept.start < entity.end and entity.start < kept.end and kept.end - kept.start >= length
            for kept in flat
        )


@settings(deadline=None)
@given(st.lists(entities(7), max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))))
def test_the_order_of_entities_decides_nothing(orders: tuple[list[Entity], list[Entity]]) -> None:
    assert flatten(orders[0]) == flatten(orders[1])


def test_ties() -> None:
    crossing = [contiguous("DISO", 2, 6), contiguous("DISO", 0, 4)]
    assert flatten(crossing) == (contiguous("DISO", 0, 4),)
    same = [contiguous("PROC", 0, 4), contiguous("CHEM", 0, 4)]
    assert flatten(same) == (contiguous("CHEM", 0, 4),)


def test_entities_that_touch_are_both_kept() -> None:
    touching = (contiguous("DISO", 0, 2), contiguous("DISO", 2, 5), contiguous("DISO", 5, 6))
    assert flatten(touching) == flatten(touching[::-1]) == touching


def test_a_discontinuous_entity_becomes_its_covering_range() -> None:
    inside = contiguous("ANAT", 5, 8)
    assert flatten([Entity("DISO", ((0, 4), (10, 14))), inside]) == (contiguous("DISO", 0, 14),)


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
