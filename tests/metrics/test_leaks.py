"""Leaks and labels of words, by hand."""

from __future__ import annotations

from hypothesis import given

from annotated import corpora
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.metrics.leaks import leak_scores
from bertinchamps.metrics.word_labels import word_label_scores

TEXT = "Mme Léa Petit, Lyon"
GOLD = AnnotatedText(
    "a", TEXT, (Entity("NOM", ((8, 13),)), Entity("PRENOM", ((4, 7),)), Entity("VILLE", ((15, 19),)))
)
NONE = AnnotatedText("b", "rien", ())


def found(*entities: tuple[str, int, int], name: str = "a", text: str = TEXT) -> AnnotatedText:
    return AnnotatedText(name, text, tuple(Entity(label, ((start, end),)) for label, start, end in entities))


def test_nothing_leaks_where_everything_is_hidden_whatever_the_label_and_the_blanks() -> None:
    scores = leak_scores([GOLD, NONE], [found(("VILLE", 4, 13), ("NOM", 15, 19)), NONE])
    assert scores["leaked_characters"] == scores["leaked_documents"] == 0
    assert scores["recall"] == scores["precision"] == 1  # the blank inside of "Léa Petit" does not count
    assert (scores["characters"], scores["documents"]) == (12, 1)


def test_a_part_of_a_name_leaks_by_characters_and_by_document() -> None:
    scores = leak_scores([GOLD, NONE], [found(("NOM", 0, 3), ("NOM", 8, 11), ("VILLE", 15, 19)), NONE])
    assert scores["leaked_characters"] == 5 / 12
    assert scores["recall"] == 7 / 12
    assert scores["leaked_documents"] == 1
    assert scores["precision"] == 7 / 10
    assert {label: part["recall"] for label, part in scores["types"].items()} == {
        "NOM": 3 / 5,
        "PRENOM": 0,
        "VILLE": 1,
    }
    assert scores["types"]["NOM"]["leaked_entities"] == 1
    assert scores["types"]["VILLE"]["leaked_entities"] == 0


def test_nested_identifiers_count_once() -> None:
    nested = found(("NOM", 4, 13), ("PRENOM", 4, 7))
    assert leak_scores([nested], [found(("NOM", 4, 7))])["characters"] == 8


def test_labels_of_words() -> None:
    scores = word_label_scores([GOLD], [found(("PRENOM", 4, 13), ("DATE", 14, 15))])
    assert (scores["tp"], scores["fp"], scores["fn"]) == (
        1,
        1,
        2,
    )  # Léa; Petit; Petit, Lyon: a blank is no word
    assert word_label_scores([GOLD], [GOLD])["f1"] == 1


@given(corpora())
def test_what_is_predicted_as_it_is_leaks_nothing(
    pair: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    gold, predicted = pair
    assert leak_scores(gold, gold)["leaked_characters"] == 0
    assert 0 <= leak_scores(gold, predicted)["leaked_characters"] <= 1
