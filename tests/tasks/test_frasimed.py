"""FRASIMED, as it was released and as others divided it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from bertinchamps.contract import SPLITS, AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.tasks.examples import read_examples
from bertinchamps.tasks.readers import readers
from perfect import scored_by_itself
from real import real
from support import composed

CASE = "Fumeur. Un carcinome du rein.\n"
ENTITIES = "T1\tdisease 11 28\tcarcinome du rein\n#1\tSNOMED T1\t146801000119103\n"


def case(name: str) -> AnnotatedText:
    return AnnotatedText(name, CASE, (Entity("disease", ((11, 28),)),))


def written(archive: zipfile.ZipFile, stem: str) -> None:
    archive.writestr(f"{stem}.txt", CASE)
    archive.writestr(f"{stem}.ann", ENTITIES)


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A zip of a divided copy: a case a split, in both corpora."""
    with zipfile.ZipFile(tmp_path / "frasimed.zip", "w") as archive:
        for corpus in ("morphology", "disease"):
            for split in SPLITS:
                written(archive, f"frasimed/{corpus}/{split}/{corpus}-{split}")
    return tmp_path / "frasimed.zip"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder as the release is unpacked into."""
    with zipfile.ZipFile(tmp_path / "FRASIMED.zip", "w") as archive:
        for folder in ("CANTEMIST-FRASIMED", "DISTEMIST-FRASIMED"):
            for number in range(60):
                written(archive, f"FRASIMED/{folder}/{folder[:2]}{number}")
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.mark.parametrize("corpus", ["morphology", "disease"])
def test_a_divided_copy_is_read_with_its_splits(divided: Path, corpus: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(divided) as archive:
        archive.extractall(tmp_path / "here")
    for path in (divided, divided.parent, tmp_path / "here", tmp_path / "here" / "frasimed"):
        reader = readers.build("frasimed", corpus=corpus, path=str(path))
        reader.check()
        assert reader.read() == {split: [case(f"{corpus}-{split}")] for split in SPLITS}
        assert "those of the copy" in reader.remarks[0]


def test_the_release_is_divided_by_names(release: Path) -> None:
    reader = readers.build("frasimed", corpus="disease", path=str(release))
    reader.check()
    splits = reader.read()
    assert {split: len(documents) for split, documents in splits.items()} == {
        "train": 48,
        "dev": 6,
        "test": 6,
    }
    assert sorted(d.name for documents in splits.values() for d in documents) == sorted(
        f"DI{number}" for number in range(60)
    )
    assert "no published score compares" in reader.remarks[0]
    for number in range(0, 60, 2):  # the split of a document depends on nothing but its name
        for suffix in ("txt", "ann"):
            (release / "FRASIMED" / "DISTEMIST-FRASIMED" / f"DI{number}.{suffix}").unlink()
    fewer = readers.build("frasimed", corpus="disease", path=str(release)).read()
    for split in SPLITS:
        assert fewer[split] == [each for each in splits[split] if int(each.name[2:]) % 2]


def test_a_divided_copy_beside_the_release_is_preferred(release: Path, divided: Path) -> None:
    with zipfile.ZipFile(divided) as archive:
        archive.extractall(release)
    splits = readers.build("frasimed", corpus="disease", path=str(release)).read()
    assert [len(documents) for documents in splits.values()] == [1, 1, 1]


def test_a_copy_that_lacks_a_split_is_refused_by_its_name(divided: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(divided) as archive:
        archive.extractall(tmp_path / "here")
    for file in (tmp_path / "here" / "frasimed" / "disease" / "dev").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"no disease/dev/\*\.txt, no disease/dev/\*\.ann in it"):
        readers.build("frasimed", corpus="disease", path=str(tmp_path / "here")).check()


def test_a_wrong_corpus_is_refused() -> None:
    with pytest.raises(UserError, match=r"task\.corpus=diseases: one of morphology, disease"):
        readers.build("frasimed", corpus="diseases", path=".")


@pytest.mark.parametrize("corpus", ["morphology", "disease"])
def test_the_splits_are_told_with_every_score(divided: Path, corpus: str) -> None:
    examples = read_examples(composed(f"task=frasimed_{corpus}", f"task.path={divided}", command="finetune"))
    assert examples.title == f"frasimed_{corpus}"
    assert any("no published score compares" in remark for remark in examples.remarks)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("corpus", "label", "texts", "entities", "flat"),
    [
        ("morphology", "morphology-onco", (912, 124, 130), (11_195, 1_562, 1_571), 1_544),
        ("disease", "disease", (530, 67, 78), (5_744, 647, 807), 785),
    ],
)
def test_a_real_copy(
    corpus: str, label: str, texts: tuple[int, ...], entities: tuple[int, ...], flat: int
) -> None:
    path = real("labelled") / "frasimed.zip"
    splits = readers.build("frasimed", corpus=corpus, path=str(path)).read()
    assert tuple(map(len, splits.values())) == texts
    assert tuple(sum(len(each.entities) for each in documents) for documents in splits.values()) == entities
    found = [entity for documents in splits.values() for each in documents for entity in each.entities]
    assert {entity.label for entity in found} == {label}
    assert all(len(entity.fragments) == 1 for entity in found)
    assert strict_scores(splits["test"], splits["test"])["support"] == flat
    assert scored_by_itself(splits["dev"]) == [1.0, 1.0, 1.0]
