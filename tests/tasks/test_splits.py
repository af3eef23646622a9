"""Dev examples set aside, and the names of labels: the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.console import all_shown
from bertinchamps.contract import AnnotatedText, Entity, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.label_column import refuse_own_classes
from bertinchamps.tasks.splits import label_counts, label_lines, label_names, split_remarks, with_dev


def texts(count: int, *targets: tuple[str, ...] | float) -> list[LabelledText]:
    """Texts with the targets in turn."""
    return [LabelledText(f"line {n}", f"text {n}", None, targets[n % len(targets)]) for n in range(count)]


def notes(*labels: str) -> list[AnnotatedText]:
    return [
        AnnotatedText(str(number), f"text {number}", (Entity(label, ((0, 4),)),))
        for number, label in enumerate(labels)
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), min_size=20), st.integers(0, 9))
def test_nothing_is_lost_and_copies_stay_on_one_side(rows: list[tuple[int, str]], seed: int) -> None:
    train = [LabelledText(str(n), f"text {text}", "b", (label,)) for n, (text, label) in enumerate(rows)]
    test = texts(3, ("a",))
    try:
        splits = with_dev({"train": train, "test": test}, 0.3, seed)
    except UserError:
        assert len({record.text for record in train}) < 9
        return
    assert sorted([*splits["train"], *splits["dev"]]) == sorted(train)
    assert not {record.text for record in splits["train"]} & {record.text for record in splits["dev"]}
    assert splits["test"] is test
    assert splits["train"]


def test_every_class_gives_its_share() -> None:
    train = texts(1000, *[("often",)] * 9, ("rarely",))
    splits = with_dev({"train": train, "test": []}, 0.2, 0)
    assert Counter(record.target[0] for record in splits["dev"]) == {"often": 180, "rarely": 20}


def test_a_class_of_one_example_stays_in_train() -> None:
    train = [*texts(50, ("a",)), LabelledText("x", "x", None, ("once",))]
    splits = with_dev({"train": train, "test": []}, 0.5, 0)
    assert train[-1] in splits["train"]


@pytest.mark.parametrize(
    "train", [texts(200, ("a",), ("a", "b"), ()), texts(200, 1.0, 2.5), notes(*"ab" * 100)]
)
def test_other_kinds_give_their_share_of_everything(train: list[LabelledText] | list[AnnotatedText]) -> None:
    assert len(with_dev({"train": train, "test": []}, 0.1, 0)["dev"]) == 20  # type: ignore[arg-type]


def test_the_choice_depends_on_texts_and_seed_alone() -> None:
    train = texts(100, ("a",), ("b",))

    def chosen(records: list[LabelledText], seed: int) -> set[str]:
        return {record.text for record in with_dev({"train": records, "test": []}, 0.2, seed)["dev"]}

    renamed = [record._replace(name=f"{record.name} elsewhere") for record in reversed(train)]
    assert chosen(train, 1) == chosen(renamed, 1)
    assert chosen(train, 1) != chosen(train, 2)


def test_the_order_of_examples_is_kept() -> None:
    train = texts(100, ("a",))
    for records in with_dev({"train": train, "test": []}, 0.3, 0).values():
        assert records == [record for record in train if record in records]


def test_a_dev_split_that_is_there_is_left_alone() -> None:
    splits = {"train": texts(9, ("a",)), "dev": texts(1, ("a",)), "test": texts(1, ("a",))}
    assert with_dev(splits, 0.5, 0) is splits


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(UserError, match=r"selection\.dev_share="):
        with_dev({"train": texts(9, ("a",)), "test": []}, share, 0)


def test_a_share_that_comes_to_nothing_is_refused() -> None:
    told = r"selection\.dev_share=0\.1: too small for "
    with pytest.raises(UserError, match=told + "3 training examples; raise it, or give a dev split"):
        with_dev({"train": texts(3, ("a",)), "test": []}, 0.1, 0)
    with pytest.raises(UserError, match=told + r"1 training example; give a dev split \(task\.dev=\)"):
        with_dev({"train": texts(1, ("a",)), "test": []}, 0.1, 0)


# --- labels


def test_names_are_sorted_and_come_from_train() -> None:
    assert label_names({"train": texts(2, ("b",), ("É",)), "dev": texts(1, ("É",)), "test": []}) == ("b", "É")
    assert label_names({"train": texts(2, ("b", "a"), ()), "test": []}) == ("a", "b")
    assert label_names({"train": notes("b", "a", "b"), "test": []}) == ("a", "b")
    assert label_names({"train": texts(2, 1.5), "test": []}) == ()


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_type_that_train_lacks_is_no_label_and_remarked(split: str) -> None:
    splits = {"train": notes("a", "b"), split: notes("a", "c", "A", "c")}
    assert label_names(splits) == ("a", "b")
    assert split_remarks(splits)[0] == (
        f"labels of {split} that train lacks: 2, 3 times, each of which is missed; in train, 1 of them are perhaps "
        "written otherwise, as 0.0 is beside 0 and Oui beside oui"
    )


@pytest.mark.parametrize("split", ["dev", "test"])
def test_one_of_several_classes_may_be_unknown_to_train(split: str) -> None:
    splits = {"train": texts(4, ("a",), ("a", "b"), ()), split: texts(2, ("a", "rare"), ())}
    assert label_names(splits) == ("a", "b")
    assert (
        split_remarks(splits)[0] == f"labels of {split} that train lacks: 1, 1 times, each of which is missed"
    )


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_class_that_train_lacks_is_an_error_that_tells_where_and_not_what(split: str) -> None:
    others = texts(2, ("Le patient tousse.",))
    with pytest.raises(UserError, match=rf"task\.{split}: classes .* has \(1\), .*task\.label") as raised:
        label_names({"train": texts(2, ("foot",)), split: others})
    assert others[0].name in str(raised.value)
    assert "tousse" not in str(raised.value)
    assert "perhaps" not in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("0", "0.0"), ("oui", "Oui "), ("a_b", "a b"), ("1,5", "1.50"), ("été", "e\u0301te\u0301")],
)
def test_a_class_that_is_written_in_two_ways_is_reported(one: str, other: str) -> None:
    with pytest.raises(UserError, match=r"in train, 1 of them are perhaps written otherwise"):
        label_names({"train": texts(4, (one,), ("x",)), "dev": texts(2, (other,), ("x",))})
    (remark,) = split_remarks({"train": texts(6, (one,), (other,), ("x",))})
    assert remark.startswith("2 labels of train are perhaps fewer, some written otherwise")


def test_empty_texts_are_counted() -> None:
    train = [
        *texts(3, ("a",), ("b",)),
        LabelledText("x", " \n", None, ("a",)),
        LabelledText("y", "", None, ("b",)),
    ]
    assert split_remarks({"train": train, "dev": texts(1, ("a",)), "test": train[3:4]}) == [
        "2 of the 5 texts of train are empty",
        "1 of the 1 texts of test are empty",
        "1 of the 1 texts of dev are word for word in train, too",
        "1 of the 1 texts of test are word for word in train, too",
    ]


@pytest.mark.parametrize("dev", [notes("diso", "chem"), texts(2, ("diso", "chem"))])
def test_dev_without_a_label_of_train_is_an_error(dev: list[AnnotatedText] | list[LabelledText]) -> None:
    train = notes("DISO", "CHEM") if isinstance(dev[0], AnnotatedText) else texts(3, ("DISO", "CHEM"), ())
    with pytest.raises(UserError, match=r"task\.dev: none of its 2 labels is .*; in train, 2 of them are"):
        label_names({"train": train, "dev": dev})  # type: ignore[dict-item]


@pytest.mark.parametrize("rare", [texts(1, ("a", "rare")), notes("rare")])
@pytest.mark.parametrize("seed", range(5))
def test_the_last_example_of_a_label_stays_in_train(
    rare: list[LabelledText] | list[AnnotatedText], seed: int
) -> None:
    many = notes(*"ab" * 10) if isinstance(rare[0], AnnotatedText) else texts(20, ("a",), ("a", "b"), ())
    once = rare[0]._replace(text="only here")
    splits = with_dev({"train": [*many, once]}, 0.8, seed)  # type: ignore[list-item]
    assert once in splits["train"]
    assert splits["dev"]


def test_blanks_at_the_edges_of_entities_are_remarked() -> None:
    edged = AnnotatedText("n", "la toux ici", (Entity("a", ((2, 7),)), Entity("a", ((3, 7),))))
    (remark,) = split_remarks({"train": notes("a"), "test": [edged]})
    assert "entities of test that begin or end with a blank or an invisible character (1)" in remark


def test_labels_are_counted_split_by_split_and_told_in_a_line_each() -> None:
    splits = {"train": notes("b", "a", "b"), "dev": notes("a"), "test": notes("c")}
    assert label_counts(splits) == {"train": {"a": 1, "b": 2}, "dev": {"a": 1}, "test": {"c": 1}}
    assert label_lines(splits) == ["train      b 2 · a 1", "dev        a 1", "test       c 1"]
    classes = {"train": texts(3000, ("x",), ("x", "y"), ()), "test": []}
    assert label_lines(classes) == ["train      x 2,000 · y 1,000"]
    assert label_lines({"train": texts(3, 1.5), "test": []}) == []


def test_of_many_labels_the_commonest_are_told_and_of_long_ones_the_length() -> None:
    many = notes(
        *(f"t{n:02}" for n in range(30)), *["Le patient tousse depuis trois semaines et fume."] * 3, "\x1b[2J"
    )
    (line,) = label_lines({"train": many, "test": []})
    assert line.startswith("train      (a label of 48 characters) 3 · (a label of 4 characters) 1 · t00 1 · ")
    assert line.endswith(" · t17 1 · 12 others 12")


def test_training_examples_without_any_label_are_an_error() -> None:
    with pytest.raises(UserError, match="no label in the training examples"):
        label_names({"train": [AnnotatedText("n", "text", ())], "test": notes("a")})


def test_names_and_choice_are_the_same_in_every_process() -> None:
    program = (
        "from bertinchamps.contract import LabelledText\n"
        "from bertinchamps.tasks.splits import label_names, with_dev\n"
        "train = [LabelledText(str(n), f'text {n}', None, (f'class {n % 7}', f'été {n % 3}')) for n in range(60)]\n"
        "splits = with_dev({'train': train, 'test': []}, 0.2, 3)\n"
        "print(label_names(splits), [record.name for record in splits['dev']])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def of_classes(*classes: str) -> list[LabelledText]:
    return [LabelledText(f"line {n}", f"texte {n}", None, (name,)) for n, name in enumerate(classes)]


@pytest.mark.parametrize(
    ("train", "told"),
    [
        (of_classes(*(f"Zwart{n}" for n in range(10))), "10 of 10 training texts have a class that no other text has"),
        (of_classes(*(f"Zwart{n}" for n in range(30)), *"ab" * 10), "30 of 50 training texts"),
        ([*of_classes(*(f"Zwart{n}" for n in range(12)))] * 5, "12 of 12 training texts"),  # each text five times
        (of_classes("a", "Zwart" * 100, "a"), "a class of 500 characters (line 1), which is a text"),
    ],
)  # fmt: skip
def test_ids_and_texts_are_no_classes(train: list[LabelledText], told: str) -> None:
    with pytest.raises(UserError) as raised:
        refuse_own_classes(train)
    assert str(raised.value).startswith("task.label: ")
    assert told in str(raised.value)
    assert "Zwart" not in str(raised.value)


@pytest.mark.parametrize(
    "train",
    [
        of_classes(*"abcdefghi"),  # few texts
        of_classes(*(f"{n // 2}" for n in range(60))),  # two texts of each class
        of_classes(*(f"{n}" for n in range(20)), *"ab" * 10),  # a long tail
        [*of_classes(*(f"{n}" for n in range(12))), *texts(30, ())],  # many classes or none, which are rare
        texts(200, ("a", "b"), ("b", "c")),
        texts(20, 1.0, 2.5),
        notes(*(f"{n}" for n in range(30))),
    ],
)
def test_classes_of_several_texts_may_be_many(train: list[LabelledText] | list[AnnotatedText]) -> None:
    refuse_own_classes(train)


def test_many_labels_in_a_message_are_cut() -> None:
    assert all_shown(["a", "b" * 50]) == "a, (a label of 50 characters)"
    assert all_shown([f"{n}" for n in range(25)]).endswith("18, 19 and 5 more")
