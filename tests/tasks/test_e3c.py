"""E3C, from wherever its files are."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from formats.xmi_files import BEGIN, annotation, sofa

from bertinchamps.contract import SPLITS, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.examples import read_examples
from bertinchamps.tasks.readers import readers
from perfect import scored_by_itself
from real import real
from support import composed

LAYERS = {"by_hand": "data_annotation/French/layer1", "by_dictionary": "data_annotation/French/layer2",
          "corrected": "data_validation/French/layer2"}  # fmt: skip
ALL_TYPES = ["ACTOR", "BODYPART", "CLINENTITY", "EVENT", "RML", "TIMEX3"]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A zip with ten cases of layer 1, and two of layer 2, one of which was corrected."""
    with zipfile.ZipFile(tmp_path / "E3C-Corpus-2.0.0.zip", "w") as archive:

        def write(layer: str, number: int, *elements: str) -> None:
            content = "".join([BEGIN, *elements, sofa(f"Cas {number} : fièvre"), "</xmi:XMI>"])
            archive.writestr(f"E3C-Corpus-2.0.0/{LAYERS[layer]}/FR{number}.xml", content)

        for number in range(100100, 100110):
            write("by_hand", number, annotation(13, 19), annotation(0, 3, "EVENT"))
        for number in (100200, 100201):
            write("by_dictionary", number, annotation(0, 3))
        write("corrected", 100201, annotation(13, 19))
        archive.writestr("E3C-Corpus-2.0.0/data_annotation/Italian/layer1/IT100100.xml", "not read")
    return tmp_path / "E3C-Corpus-2.0.0.zip"


def names(path: Path, **settings: Any) -> dict[str, list[str]]:
    reader = readers.build("e3c", path=str(path), **settings)
    reader.check()
    splits = reader.read()
    assert list(splits) == list(SPLITS)
    return {split: [case.name[4:] for case in cases] for split, cases in splits.items()}  # type: ignore[attr-defined]


def test_layer_1_is_divided_by_numbers_and_layer_2_is_train(release: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(release) as archive:
        archive.extractall(tmp_path / "here")
    for path in (release, release.parent, tmp_path / "here"):
        assert names(path) == {
            "train": ["0101", "0102", "0106", "0107", "0200", "0201"],
            "dev": ["0100", "0105"],
            "test": ["0103", "0104", "0108", "0109"],
        }
    assert names(release, layers=[1])["train"] == ["0101", "0102", "0106", "0107"]
    assert names(release, layers=[2])["train"] == ["0200", "0201"]
    assert names(release, layers=[1])["test"] == names(release, layers=[2])["test"]


def test_a_case_that_was_corrected_has_the_annotations_by_hand(release: Path) -> None:
    train = readers.build("e3c", path=str(release)).read()["train"]
    of_case = {case.name: case.entities for case in train}
    assert of_case["FR100200"] == (Entity("CLINENTITY", ((0, 3),)),)
    assert of_case["FR100201"] == of_case["FR100101"] == (Entity("CLINENTITY", ((13, 19),)),)


def test_other_types_are_those_of_layer_1(release: Path) -> None:
    words = ["task=e3c", f"task.path={release}", "task.layers=[1]"]
    examples = read_examples(composed(*words, "task.types=[CLINENTITY,EVENT]", command="finetune"))
    assert examples.labels == ("CLINENTITY", "EVENT")
    assert examples.title == "e3c"
    assert "no published score compares" in examples.remarks[0]
    assert not any("dictionary" in remark for remark in examples.remarks)
    whole = read_examples(composed(*words[:2], command="finetune"))
    assert whole.labels == ("CLINENTITY",)
    assert any("dictionary" in remark for remark in whole.remarks)


def test_layer_1_alone_needs_no_other_files(release: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(release) as archive:
        inside = [name for name in archive.namelist() if "French/layer1" in name]
        archive.extractall(tmp_path / "part", inside)
    assert len(names(tmp_path / "part", layers=[1])["train"]) == 4
    with pytest.raises(
        UserError, match=r"no data_annotation/French/layer2/\*\.xml, no data_validation/French"
    ):
        names(tmp_path / "part")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"types": ["EVENT"]},
            r"task\.layers=\[1, 2\]: layer 2 has CLINENTITY alone; set task\.layers=\[1\]",
        ),
        ({"types": ["DISO"], "layers": [1]}, r"task\.types: DISO is none of ACTOR, BODYPART, CLINENTITY"),
        ({"types": []}, r"task\.types: none given; for example \[CLINENTITY\]"),
        ({"layers": []}, r"task\.layers=\[\]: \[1\], \[2\] or \[1, 2\]"),
        ({"layers": [3]}, r"task\.layers=\[3\]: \[1\], \[2\] or \[1, 2\]"),
        ({"layers": 1}, r"task\.layers=1: must be a list of numbers"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        readers.build("e3c", path=".", **settings)


def test_a_file_of_another_name_is_refused(release: Path) -> None:
    with zipfile.ZipFile(release, "a") as archive:
        archive.writestr(f"E3C-Corpus-2.0.0/{LAYERS['by_hand']}/copie.xml", f"{BEGIN}{sofa('a')}</xmi:XMI>")
    with pytest.raises(UserError, match=r"copie\.xml: a case of E3C is called FR and a number"):
        names(release)


@pytest.mark.real_data
def test_the_official_release() -> None:
    """Counts of layer 1 as in its README; layer 2 has those of the 18 corrected cases."""
    path = str(real("labelled") / "e3c_fr_annotated.zip")
    splits = readers.build("e3c", path=path).read()
    assert [len(cases) for cases in splits.values()] == [196, 18, 35]
    counts = {split: sum(len(case.entities) for case in cases) for split, cases in splits.items()}
    assert counts == {"train": 2_602, "dev": 277, "test": 540}
    assert scored_by_itself([*splits["dev"], *splits["test"]]) == [1.0, 1.0, 1.0]  # type: ignore[list-item]
    others = readers.build("e3c", path=path, layers=[1], types=ALL_TYPES).read()
    labels = [entity.label for cases in others.values() for case in cases for entity in case.entities]  # type: ignore[union-attr]
    assert [labels.count(label) for label in ALL_TYPES] == [427, 659, 1_327, 4_312, 508, 333]
    texts = [case.text for cases in splits.values() for case in cases]
    assert len(set(texts)) == len(texts) == 249
