"""The protocol "nested exact": BRATeval's own numbers."""

from __future__ import annotations

import zipfile
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from annotated import brat, corpora, documents
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.metrics.nested_exact import match, nested_exact_scores
from bertinchamps.spans import flatten
from real import real

# Each type of error that BRATeval could treat in its own way. What it printed for these two folders is below: the
# methods of READ-BioMed/brateval's CompareEntities and of what it calls that read, match, count and rate entities,
# transcribed as they are, without taxonomy, quotations and other output formats; compiled and run with Java 17.
GOLD = {
    "a": [
        "T1\tDISO 0 13\tdouleur aiguë",
        "T2\tDISO 0 7\tdouleur",  # nested
        "#1\tAnnotatorNotes T2\tC0030193",
        "T3\tANAT 18 24\tjambes",
        "T4\tDISO 30 36;50 58\tœdèmes malléole",  # discontinuous
        "T5\tCHEM 60 70\tfurosémide",
    ],
    "b": ["T1\tPROC 0 9\tscintigra", "T2\tPROC 10 14;20 24\tsous effo"],
    "c": ["T1\tCHEM 0 5\tsel d", "T2\tCHEM 0 5\tsel d"],  # twice the same
    "d": [],
}
PREDICTED = {
    "a": [
        "T1\tDISO 0 13\tdouleur aiguë",
        "T2\tDISO 0 13\tdouleur aiguë",  # twice the same
        "T3\tPROC 18 24\tjambes",  # another type
        "T4\tDISO 30 36;50 58;60 64\tœdèmes malléole furo",  # a fragment too many
        "T5\tCHEM 60 69\tfurosémid",  # another boundary
        "T7\tDISO 0 7\tdouleur",
    ],
    "b": [
        "T1\tPROC 0 9\tscintigra",
        "T2\tPROC 10 14\tsous",  # a fragment too few
        "T3\tGEOG 30 36\tFrance",
    ],
    "c": [],
    "d": ["T1\tLIVB 0 6\tenfant"],
    "e": ["T1\tLIVB 0 6\tenfant"],  # no such gold file
}
PRINTED = """\
ANAT,0,0,1,0.0000,0.0000,0.0000
CHEM,0,1,3,0.0000,0.0000,0.0000
DISO,3,1,0,0.7500,1.0000,0.8571
GEOG,0,1,0,0.0000,0.0000,0.0000
LIVB,0,1,0,0.0000,0.0000,0.0000
PROC,1,2,1,0.3333,0.5000,0.4000
all,4,6,5,0.4000,0.4444,0.4211"""


def folder_of(files: dict[str, list[str]], folder: Path) -> Path:
    folder.mkdir()
    for name, lines in files.items():
        (folder / f"{name}.ann").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def printed(report: dict[str, Any]) -> str:
    """The report as BRATeval prints its table; Java rounds halves up."""

    def line(name: str, scores: dict[str, Any]) -> str:
        rates = [
            str(Decimal(repr(scores[rate])).quantize(Decimal("0.0001"), ROUND_HALF_UP))
            for rate in ("precision", "recall", "f1")
        ]
        return ",".join([name, *(str(scores[count]) for count in ("tp", "fp", "fn")), *rates])

    return "\n".join([*(line(*of_type) for of_type in report["types"].items()), line("all", report)])


def test_the_table_is_the_one_that_brateval_printed(tmp_path: Path) -> None:
    gold, predicted = folder_of(GOLD, tmp_path / "gold"), folder_of(PREDICTED, tmp_path / "predicted")
    assert printed(nested_exact_scores(brat(gold), brat(predicted))) == PRINTED


def test_a_missing_file_is_refused_as_brateval_refuses_it(tmp_path: Path) -> None:
    gold = brat(folder_of(GOLD, tmp_path / "gold"))
    with pytest.raises(UserError, match="1 of 4 gold documents have no predictions, the first is number 1"):
        nested_exact_scores(gold, gold[1:])


# Hash tables decide what BRATeval does here, so that its figure depends on the identifiers in the files: with others
# it found one of the two. A prediction is never kept from the gold entity that it is identical to.
def test_identical_entities_find_each_other_before_those_of_more_fragments() -> None:
    short, long = Entity("DISO", ((0, 5),)), Entity("DISO", ((0, 5), (8, 9)))
    for gold in ([short, long], [long, short]):
        for predicted in ([short, long], [long, short]):
            assert len(match(gold, predicted).correct) == 2


@settings(deadline=None)
@given(documents())
def test_every_entity_is_counted_once(pair: tuple[AnnotatedText, AnnotatedText]) -> None:
    gold, predicted = (text.entities for text in pair)
    matching = match(gold, predicted)
    assert sorted(matching.correct + matching.missed) == sorted(gold)
    assert len(matching.correct) + len(matching.spurious) == len(predicted)
    assert not set(matching.missed) & set(matching.spurious)


@settings(deadline=None)
@given(corpora())
def test_perfect_predictions_score_one(corpus: tuple[list[AnnotatedText], list[AnnotatedText]]) -> None:
    gold, _ = corpus
    scores = nested_exact_scores(gold, gold)
    assert scores["f1"] == (1.0 if scores["support"] else 0.0)
    assert (scores["fp"], scores["fn"]) == (0, 0)


@settings(deadline=None)
@given(corpora())
def test_of_contiguous_entities_precision_is_recall_seen_from_the_other_side(
    corpus: tuple[list[AnnotatedText], list[AnnotatedText]],
) -> None:
    gold, predicted = (
        [
            text._replace(entities=tuple(entity for entity in text.entities if len(entity.fragments) == 1))
            for text in side
        ]
        for side in corpus
    )
    there, back = nested_exact_scores(gold, predicted), nested_exact_scores(predicted, gold)
    assert (there["precision"], there["recall"], there["f1"]) == (
        back["recall"],
        back["precision"],
        back["f1"],
    )


@settings(deadline=None)
@given(corpora())
def test_order_decides_nothing(corpus: tuple[list[AnnotatedText], list[AnnotatedText]]) -> None:
    gold, predicted = corpus
    turned = [text._replace(entities=text.entities[::-1]) for text in reversed(predicted)]
    assert nested_exact_scores(gold, turned) == nested_exact_scores(gold, predicted)


# As BRATeval printed them when the flat gold folders were given to it as predictions.
@pytest.mark.real_data
@pytest.mark.parametrize(
    ("corpus", "line"),
    [
        ("EMEA", "all,1768,31,436,0.9828,0.8022,0.8833"),
        ("MEDLINE", "all,2267,20,836,0.9913,0.7306,0.8412"),
    ],
)
def test_the_ceiling_of_flat_predictions_on_quaero(corpus: str, line: str, tmp_path: Path) -> None:
    archive = real("quaero") / "QUAERO_FrenchMed_brat.zip"
    with zipfile.ZipFile(archive) as opened:
        part = f"QUAERO_FrenchMed/corpus/test/{corpus}/"
        opened.extractall(tmp_path, [name for name in opened.namelist() if name.startswith(part)])
    gold = brat(tmp_path / part)
    flat = [text._replace(entities=tuple(sorted(flatten(text.entities)))) for text in gold]
    assert printed(nested_exact_scores(gold, flat)).splitlines()[-1] == line
    assert printed(nested_exact_scores(gold, gold)).endswith("0,0,1.0000,1.0000,1.0000")
