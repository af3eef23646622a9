"""What is said of a protocol is what its scores hold, so that no table stays empty."""

from __future__ import annotations

from typing import Any

import pytest

from bertinchamps.contract import AnnotatedText, Entity, RelatedText, Relation
from bertinchamps.metrics.classes import class_scores
from bertinchamps.metrics.leaks import leak_scores
from bertinchamps.metrics.multi_label import multi_label_scores
from bertinchamps.metrics.multiple_choice import multiple_choice_scores
from bertinchamps.metrics.nested_exact import nested_exact_scores
from bertinchamps.metrics.precision_at_k import precision_at_k
from bertinchamps.metrics.protocols import PART_METRICS, PROTOCOLS, Protocol, Protocols
from bertinchamps.metrics.regression import regression_scores
from bertinchamps.metrics.relations import relation_scores
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.metrics.token_labels import token_label_scores
from bertinchamps.metrics.word_labels import word_label_scores

ENTITIES = (Entity("DISO", ((3, 17),)), Entity("ANAT", ((13, 17),)))
DOCUMENTS = [AnnotatedText("a", "Le cancer du foie.", ENTITIES)]
LINKED = [RelatedText("a", "Le cancer du foie.", ENTITIES, (Relation("SITE", 0, 1),))]
SCORES: dict[str, dict[str, Any]] = {
    "strict": strict_scores(DOCUMENTS, DOCUMENTS),
    "nested_exact": nested_exact_scores(DOCUMENTS, DOCUMENTS),
    "paper": token_label_scores([["O", "B-DISO"]], [["O", "B-DISO"]]),
    "tokens": word_label_scores(DOCUMENTS, DOCUMENTS),
    "leaks": leak_scores(DOCUMENTS, DOCUMENTS),
    "leaks_at_half": leak_scores(DOCUMENTS, DOCUMENTS),
    "classes": class_scores(["a", "b"], ["a", "b"]),
    "multi_label": multi_label_scores([("a",), ("a", "b")], [("a",), ("b",)]),
    "multiple_choice": multiple_choice_scores([("a",)], [("a", "b")]),
    "precision_at_k": precision_at_k([("a",)], [list("abcdefgh")]),
    "regression": regression_scores([1.0, 2.0], [1.0, 2.5]),
    "relations": relation_scores(LINKED, LINKED),
    "relations_end_to_end": relation_scores(LINKED, LINKED),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scores_hold_what_their_protocol_says(name: str) -> None:
    protocol, scores = PROTOCOLS[name], SCORES[name]
    for metric in (*protocol.metrics, protocol.headline, *protocol.choosing):
        assert isinstance(scores[metric], float), metric
    if protocol.parts:
        assert scores[protocol.parts]
        assert all(set(PART_METRICS) <= set(part) for part in scores[protocol.parts].values())
    else:
        assert not any(isinstance(value, dict) for value in scores.values())


def test_a_protocol_says_where_its_headline_and_its_parts_stand() -> None:
    with pytest.raises(ValueError, match="headline 'f2' is none of the scores"):
        Protocol("relations", metrics={"f1": "F1"}, headline="f2")
    with pytest.raises(ValueError, match="that each split has"):
        Protocol("ranks", metrics={"at_1": "at 1"}, headline="at_1", optional=("at_1",))
    with pytest.raises(ValueError, match="name both or neither"):
        Protocol("relations", metrics={"f1": "F1"}, headline="f1", parts="types")


def test_a_name_belongs_to_one_protocol() -> None:
    protocols = Protocols("bertinchamps.metrics")
    one = Protocol("one", metrics={"f1": "F1"}, headline="f1")
    protocols.register("mine", one)
    protocols.register("mine", one)  # as the copy of a file does that evaluate.load imports
    with pytest.raises(ValueError, match="'mine' is registered twice"):
        protocols.register("mine", Protocol("other", metrics={"f1": "F1"}, headline="f1"))
