"""Samples of the training examples: nested, of each class, in proportion."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.checks.finetuning import problems
from bertinchamps.contract import AnnotatedText, Entity, LabelledText, RelatedText, Relation
from bertinchamps.errors import UserError
from bertinchamps.finetune import finetune
from bertinchamps.schemas import FewShotConfig
from bertinchamps.tasks.few_shot import few
from bertinchamps.tasks.formats import tables
from bertinchamps.tasks.splits import Record
from support import composed
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder


def text(number: int, *classes: str) -> LabelledText:
    return LabelledText(f"{number}", f"texte {number}", None, classes)


def sample(records: list[Record], examples: int, seed: int = 0, dev: bool = False) -> dict[str, list[Record]]:
    return few({"train": records, "dev": records}, FewShotConfig(examples, dev), seed)[0]


ONE_CLASS: list[Record] = [text(number, "ab"[number % 3 == 0]) for number in range(60)]
classes = st.lists(st.sets(st.sampled_from("abc")), min_size=30, max_size=60)


def test_each_class_has_the_number_and_dev_stays_whole() -> None:
    found = sample(ONE_CLASS, 7)
    assert Counter(record.target for record in found["train"]) == {("a",): 7, ("b",): 7}  # type: ignore[union-attr]
    assert found["dev"] == ONE_CLASS
    assert [record.name for record in sample(ONE_CLASS, 7, seed=1)["train"]] != [
        record.name for record in found["train"]
    ]


@given(classes, st.integers(1, 4), st.integers(0, 3))
def test_a_larger_sample_holds_the_smaller_one(sets: list[set[str]], size: int, seed: int) -> None:
    sets = [*sets, *[set("abc")] * 8]  # so that every class has enough
    records: list[Record] = [text(number, *sorted(own)) for number, own in enumerate(sets)]
    smaller, larger = sample(records, size, seed)["train"], sample(records, 2 * size, seed)["train"]
    assert {record.name for record in smaller} <= {record.name for record in larger}
    for chosen, least in ((smaller, size), (larger, 2 * size)):
        counts = Counter(label for record in chosen for label in record.target)  # type: ignore[union-attr]
        assert min(counts.values()) >= least


def test_texts_without_a_class_are_drawn_in_proportion() -> None:
    records: list[Record] = [text(number, *(["a"] if number % 4 == 0 else [])) for number in range(80)]
    smaller, larger = sample(records, 3, dev=True), sample(records, 6)["train"]
    assert Counter(record.target for record in smaller["train"]) == {("a",): 3, (): 9}  # type: ignore[union-attr]
    assert smaller["dev"] == smaller["train"]
    assert Counter(record.target for record in larger) == {("a",): 6, (): 18}  # type: ignore[union-attr]
    assert {record.name for record in smaller["train"]} < {record.name for record in larger}


def document(number: int, *labels: str) -> AnnotatedText:
    entities = tuple(Entity(label, ((place, place + 1),)) for place, label in enumerate(labels))
    return AnnotatedText(f"{number}", f"document {number}", entities)


def test_documents_keep_the_proportions_of_the_labels() -> None:
    documents: list[Record] = [
        *[document(number, "DISO") for number in range(60)],
        *[document(100 + number, "GEOG") for number in range(15)],
        *[document(200 + number) for number in range(45)],
    ]
    found = sample(documents, 8)["train"]
    assert len(found) == 8
    labels = Counter(record.entities[0].label if record.entities else "" for record in found)  # type: ignore[union-attr]
    assert labels == {"DISO": 4, "GEOG": 1, "": 3}
    assert found == [one for one in sample(documents, 16)["train"] if one in found]


def test_documents_with_relations_are_drawn_by_their_relations() -> None:
    entities = (Entity("TEST", ((0, 1),)), Entity("VALUE", ((2, 3),)))
    related: list[Record] = [
        RelatedText(f"{n}", f"document {n}", entities, (Relation("HAS", 0, 1),) if n < 8 else ())
        for n in range(16)
    ]
    found = sample(related, 4)["train"]
    assert sorted(len(one.relations) for one in found) == [0, 0, 1, 1]  # type: ignore[union-attr]


def test_numbers_are_drawn_in_all() -> None:
    numbers: list[Record] = [LabelledText(f"{n}", f"texte {n}", None, float(n)) for n in range(20)]
    assert len(sample(numbers, 5)["train"]) == 5


def test_dev_is_reduced_where_it_is_asked_for_and_told_where_it_is_larger() -> None:
    splits = {"train": ONE_CLASS, "dev": ONE_CLASS[:33]}
    small, remarks = few(splits, FewShotConfig(4, dev=True), 0)
    assert len(small["train"]) == len(small["dev"]) == 8
    assert len(remarks) == 1
    _, remarks = few(splits, FewShotConfig(4), 0)
    assert "selected on 33 examples of dev, more than train has (8)" in remarks[1]


def test_a_class_with_fewer_examples_is_named_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("text,label\n" + "".join(f"texte {n},{'ab'[n % 3 == 1]}\n" for n in range(12)))
    records: list[Record] = list(tables.read(file, tables.Columns("text", None, "label")))
    with pytest.raises(
        UserError,
        match=r"few_shot.examples=5: classes with fewer training examples: b \(4, the first in train.csv, line 3\)",
    ):
        sample(records, 5)
    with pytest.raises(UserError, match=r"few_shot.examples=3: train has 2 examples"):
        sample([document(0), document(1, "A")], 3)


def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    words = [*brat_corpus(tmp_path / "corpus"), f"model={make_encoder('bert', tmp_path / 'bert')}"]
    for word, problem in (
        ("few_shot.examples=0", "few_shot.examples=0: must be at least 1"),
        ("few_shot.dev=true", "few_shot.dev: reduces dev to few_shot.examples"),
    ):
        found = problems(composed(*words, word, command="finetune"))
        assert any(one.startswith(problem) for one in found), found


def test_seeds_of_one_size_are_repetitions_of_one_setting(tmp_path: Path) -> None:
    words = [
        *brat_corpus(tmp_path / "corpus"), f"model={make_encoder('bert', tmp_path / 'bert')}", "runtime=eager",
        "max_length=48", "budget.epochs=1", "few_shot.examples=3", "few_shot.dev=true",
    ]  # fmt: skip
    results = []
    for seed in range(2):
        folder = finetune(
            composed(*words, f"seed={seed}", f"run_dir={tmp_path / str(seed)}", command="finetune")
        )
        results.append(json.loads((folder / "results.json").read_text(encoding="utf-8")))
    assert [result["data"]["train"]["documents"] for result in results] == [3, 3]
    assert [result["data"]["dev"]["documents"] for result in results] == [3, 3]
    assert results[0]["data_fingerprint"] == results[1]["data_fingerprint"]
    assert results[0]["settings"] == results[1]["settings"]
    assert results[0]["settings"]["few_shot.examples"] == 3
    assert any("few_shot.examples=3: train is 3 of" in remark for remark in results[0]["remarks"])
