"""Dev examples set aside, and the names of labels: the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.splits import label_names, split_remarks, with_dev


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
    with pytest.raises(UserError, match=r"selection\.dev_share=0\.1: too small for 3 training examples"):
        with_dev({"train": texts(3, ("a",)), "test": []}, 0.1, 0)


# --- labels


def test_names_are_sorted_and_come_from_train_and_dev() -> None:
    assert label_names({"train": texts(2, ("b",)), "dev": texts(1, ("É",)), "test": []}) == ("b", "É")
    assert label_names({"train": texts(2, ("b", "a"), ()), "test": []}) == ("a", "b")
    assert label_names({"train": notes("b", "a", "b"), "test": []}) == ("a", "b")
    assert label_names({"train": texts(2, 1.5), "test": []}) == ()


def test_a_type_that_only_test_has_is_no_label() -> None:
    assert label_names({"train": notes("a"), "test": notes("a", "c", "b", "c")}) == ("a",)


def test_a_class_that_only_test_has_is_an_error_that_tells_where_and_not_what() -> None:
    test = texts(2, ("Le patient tousse.",))
    with pytest.raises(UserError, match=r"task\.test: 1 classes .*task\.label") as raised:
        label_names({"train": texts(2, ("foot",)), "test": test})
    assert test[0].name in str(raised.value)
    assert "tousse" not in str(raised.value)


def test_blanks_at_the_edges_of_entities_are_remarked() -> None:
    edged = AnnotatedText("n", "la toux ici", (Entity("a", ((2, 7),)), Entity("a", ((3, 7),))))
    (remark,) = split_remarks({"train": notes("a"), "test": [edged]})
    assert "entities of test that begin or end with a blank or an invisible character (1)" in remark


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
