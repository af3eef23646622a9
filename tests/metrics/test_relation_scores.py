"""Scores of relations: exact arguments, direction and type; all gold relations count."""

from __future__ import annotations

import pytest

from bertinchamps.contract import Entity, RelatedText, Relation
from bertinchamps.errors import UserError
from bertinchamps.metrics.relations import relation_scores

A, B, C = (Entity(label, ((at, at + 1),)) for at, label in enumerate("ABC"))
GOLD = RelatedText("n", "abc", (A, B, C), (Relation("X", 0, 1), Relation("X", 1, 2), Relation("Y", 0, 2)))


def test_micro_and_each_type() -> None:
    predicted = GOLD._replace(relations=(Relation("X", 0, 1), Relation("X", 0, 2), Relation("Y", 2, 0)))
    scores = relation_scores([GOLD], [predicted])
    assert (scores["tp"], scores["fp"], scores["fn"], scores["f1"]) == (1, 2, 2, pytest.approx(1 / 3))
    assert scores["types"]["X"]["recall"] == 0.5
    assert scores["types"]["Y"]["f1"] == 0.0
    assert relation_scores([GOLD], [GOLD])["f1"] == 1.0


def test_found_entities_need_the_types_and_characters_of_the_gold_ones() -> None:
    other = RelatedText("n", "abc", (A, C), (Relation("Y", 0, 1),))
    assert relation_scores([GOLD], [other])["tp"] == 1  # at other places of another list of entities
    longer = other._replace(entities=(A, Entity("C", ((1, 3),))))
    assert relation_scores([GOLD], [longer])["tp"] == 0
    renamed = other._replace(entities=(A, Entity("B", ((2, 3),))))
    assert relation_scores([GOLD], [renamed])["tp"] == 0


def test_a_document_without_prediction_is_refused() -> None:
    with pytest.raises(UserError, match="1 of 1 gold documents have no predictions"):
        relation_scores([GOLD], [])
