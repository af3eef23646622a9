"""PAWS-X, XNLI and Webis-CLS-10 in the official formats, which these tests write small."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from bertinchamps.contract import LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from real import real

SECRET = "Madame Confidentielle"
PAWSX = {
    "translated_train.tsv": (
        'id\tsentence1\tsentence2\tlabel\n1\tIl dit "oui.\tElle dit.\t0\n2\t\tVide.\t1\n'
        "3\tNS\tNS\t0\n4\tA b.\tB a.\t1\n"
    ),
    "dev_2k.tsv": "id\tsentence1\tsentence2\tlabel\n1\tUn.\tNS\t0\n2\tNS est là.\tDeux.\t1\n",
    "test_2k.tsv": "id\tsentence1\tsentence2\tlabel\r\n1\tUn.\tDeux.\t1\r\n",
}
ANNOTATED = [
    "language",
    "gold_label",
    "sentence1_binary_parse",
    "sentence2_binary_parse",
    "sentence1_parse",
    "sentence2_parse",
    "sentence1",
    "sentence2",
    "promptID",
    "pairID",
    "genre",
    "label1",
    "label2",
    "label3",
    "label4",
    "label5",
    "sentence1_tokenized",
    "sentence2_tokenized",
    "match",
]
REVIEWS = {
    ("books", "train"): (
        "<items>\n<item><category>livres</category><rating>5.0</rating><url>http://x</url>"
        "<text>Un <b>grand</b> livre.<br>\n\nÀ lire & relire </text>"
        "<title>Titre</title><summary>Bravo</summary></item>\n\n"
        "<item><category>livres</category><rating>1.0</rating><url>http://x</url>"
        "<text>Non, </text> et non.</text><title>T</title><summary>S</summary></item>\n</items>\n"
    ),
    ("dvd", "train"): (
        "<items>\n<item>\n<category>dvd</category>\n<rating>2.0</rating>\n<url>http://x</url>\n<title>Titre</title>\n"
        "<summary>S</summary>\n<text>Le <title>film</title> ennuie.</text>\n</item>\n</items>\n"
    ),
    ("music", "train"): (
        "<item><text>Beau.</text><summary></summary><title></title><url></url><rating>4.0</rating>"
        "<category>musique</category></item>"
    ),
}


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())


def zipped(folder: Path, path: Path, above: str = "") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, above + str(file.relative_to(folder)))


def tarred(folder: Path, path: Path, above: str = "") -> None:
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(folder.rglob("*.*")):
            info = tarfile.TarInfo(above + str(file.relative_to(folder)))
            info.size = file.stat().st_size
            archive.addfile(info, io.BytesIO(file.read_bytes()))


def plain(records: list[LabelledText]) -> list[tuple[str, str | None, object]]:
    return [record[1:] for record in records]


# --- PAWS-X


@pytest.fixture
def pawsx(tmp_path: Path) -> Path:
    for name, content in PAWSX.items():
        write(tmp_path / "x-final" / "fr" / name, content)
        write(tmp_path / "x-final" / "de" / name, "id\tsentence1\tsentence2\tlabel\n1\tEins.\tZwei.\t1\n")
    return tmp_path / "x-final"


def test_pawsx_leaves_out_and_counts_pairs_without_a_sentence(pawsx: Path) -> None:
    reader = readers.build("pawsx", path=str(pawsx))
    splits = reader.read()
    assert splits == {
        "train": [
            LabelledText("translated_train.tsv, line 2", 'Il dit "oui.', "Elle dit.", ("0",)),
            LabelledText("translated_train.tsv, line 5", "A b.", "B a.", ("1",)),
        ],
        "dev": [LabelledText("dev_2k.tsv, line 3", "NS est là.", "Deux.", ("1",))],
        "test": [LabelledText("test_2k.tsv, line 2", "Un.", "Deux.", ("1",))],
    }
    assert reader.dropped == {"train": 2, "dev": 1, "test": 0}
    assert reader.kind == "single_label"


def test_pawsx_from_archives_and_folders_at_any_level(pawsx: Path, tmp_path: Path) -> None:
    expected = readers.build("pawsx", path=str(pawsx)).read()
    (tmp_path / "packed").mkdir()
    tarred(pawsx, tmp_path / "packed" / "x-final.tar.gz", "./x-final/")
    zipped(pawsx, tmp_path / "any name.zip", "x-final/")
    for path in (
        pawsx / "fr",
        pawsx,
        pawsx.parent,
        tmp_path / "packed",
        tmp_path / "packed" / "x-final.tar.gz",
        tmp_path / "any name.zip",
    ):
        reader = readers.build("pawsx", path=str(path))
        reader.check()
        assert reader.read() == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            f"id\tsentence1\tsentence2\tlabel\n1\t{SECRET}\tb\t2\n",
            "dev_2k.tsv: line 2: the label is none of 0, 1",
        ),
        (f"id\tsentence1\tsentence2\tlabel\n1\t{SECRET}\tb\n", "line 2: 3 columns where the header has 4"),
        (f"1\t{SECRET}\tb\t1\n", "line 1: no column sentence1, sentence2, label; is this the official file?"),
    ],
)
def test_a_file_that_is_not_the_official_one(pawsx: Path, content: str, what: str) -> None:
    write(pawsx / "fr" / "dev_2k.tsv", content)
    with pytest.raises(UserError) as caught:
        readers.build("pawsx", path=str(pawsx)).read()
    assert what in str(caught.value)
    assert SECRET not in str(caught.value)


def test_not_utf8(pawsx: Path) -> None:
    (pawsx / "fr" / "dev_2k.tsv").write_bytes("id\nété".encode("latin-1"))
    with pytest.raises(UserError, match=r"dev_2k\.tsv: line 2: not UTF-8"):
        readers.build("pawsx", path=str(pawsx)).read()


def test_a_damaged_archive(pawsx: Path, tmp_path: Path) -> None:
    archive = tmp_path / "x-final.tar.gz"
    tarred(pawsx, archive, "x-final/")
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(UserError, match=r"x-final\.tar\.gz: damaged or cut short"):
        readers.build("pawsx", path=str(archive)).check()


# --- XNLI


def annotated(*rows: tuple[str, str, str, str]) -> str:
    lines = ["\t".join(ANNOTATED)]
    for language, label, premise, hypothesis in rows:
        cells = dict.fromkeys(ANNOTATED, "x") | {
            "language": language,
            "gold_label": label,
            "sentence1": premise,
            "sentence2": hypothesis,
        }
        lines.append("\t".join(cells.values()))
    return "\n".join(lines) + "\n"


@pytest.fixture
def xnli(tmp_path: Path) -> Path:
    root = tmp_path / "xnli"
    write(
        root / "XNLI-1.0" / "xnli.dev.tsv",
        annotated(("ar", "neutral", "a", "b"), ("fr", "neutral", 'Il "a dit', "Non.")),
    )
    write(
        root / "XNLI-1.0" / "xnli.test.tsv",
        annotated(("fr", "contradiction", "Un.", "Deux."), ("zh", "entailment", "a", "b")),
    )
    write(
        root / "XNLI-MT-1.0" / "multinli" / "multinli.train.fr.tsv",
        "premise\thypo\tlabel\nUn .\tDeux .\tcontradictory\nTrois .\tQuatre .\tentailment\n",
    )
    write(
        root / "XNLI-MT-1.0" / "multinli" / "multinli.train.de.tsv",
        "premise\thypo\tlabel\nEins.\tZwei.\tneutral\n",
    )
    return root


def test_xnli_keeps_the_french_rows_and_one_spelling_of_the_labels(xnli: Path) -> None:
    splits = readers.build("xnli", path=str(xnli)).read()
    assert {split: plain(records) for split, records in splits.items()} == {
        "train": [("Un .", "Deux .", ("contradiction",)), ("Trois .", "Quatre .", ("entailment",))],
        "dev": [('Il "a dit', "Non.", ("neutral",))],
        "test": [("Un.", "Deux.", ("contradiction",))],
    }
    assert splits["dev"][0].name == "xnli.dev.tsv, line 3"


def test_xnli_from_its_two_archives_and_from_one_of_them_unpacked(xnli: Path, tmp_path: Path) -> None:
    expected = readers.build("xnli", path=str(xnli)).read()
    packed = tmp_path / "packed"
    packed.mkdir()
    zipped(xnli / "XNLI-1.0", packed / "XNLI-1.0.zip", "XNLI-1.0/")
    zipped(xnli / "XNLI-MT-1.0", packed / "XNLI-MT-1.0.zip", "XNLI-MT-1.0/")
    assert readers.build("xnli", path=str(packed)).read() == expected
    (packed / "XNLI-1.0.zip").unlink()
    with pytest.raises(UserError) as caught:
        readers.build("xnli", path=str(packed)).check()
    assert "no xnli.dev.tsv, no xnli.test.tsv in it" in str(caught.value)
    assert "XNLI-1.0.zip and XNLI-MT-1.0.zip" in str(caught.value)
    assert "task.hub=facebook/xnli" in str(caught.value)
    (xnli / "XNLI-1.0").rename(packed / "XNLI-1.0")
    reader = readers.build("xnli", path=str(packed))
    reader.check()
    assert reader.read() == expected


def test_xnli_with_an_unknown_label(xnli: Path) -> None:
    write(xnli / "XNLI-1.0" / "xnli.dev.tsv", annotated(("fr", "-", SECRET, "b")))
    with pytest.raises(
        UserError, match=r"xnli\.dev\.tsv: line 2: the label is none of contradiction, entailment"
    ):
        readers.build("xnli", path=str(xnli)).read()


# --- CLS


@pytest.fixture
def cls(tmp_path: Path) -> Path:
    root = tmp_path / "cls-acl10-unprocessed"
    for (category, split), content in REVIEWS.items():
        write(root / "fr" / category / f"{split}.review", content)
        write(root / "fr" / category / "test.review", REVIEWS["music", "train"])
        write(root / "fr" / category / "unlabeled.review", "nonsense")
        write(root / "de" / category / "train.review", "nonsense")
    return root


def test_cls_merges_categories_and_keeps_markup_whatever_the_order_of_fields(cls: Path) -> None:
    splits = readers.build("cls", path=str(cls)).read()
    assert splits["train"] == [
        LabelledText(
            "books/train.review, item 1",
            "Un <b>grand</b> livre.<br>\n\nÀ lire & relire ",
            None,
            ("positive",),
        ),
        LabelledText("books/train.review, item 2", "Non, </text> et non.", None, ("negative",)),
        LabelledText("dvd/train.review, item 1", "Le <title>film</title> ennuie.", None, ("negative",)),
        LabelledText("music/train.review, item 1", "Beau.", None, ("positive",)),
    ]
    assert len(splits["test"]) == 3
    assert "dev" not in splits


def test_cls_from_its_archive(cls: Path, tmp_path: Path) -> None:
    expected = readers.build("cls", path=str(cls / "fr")).read()
    (tmp_path / "packed").mkdir()
    tarred(cls, tmp_path / "packed" / "cls-acl10-unprocessed.tar.gz", "cls-acl10-unprocessed/")
    reader = readers.build("cls", path=str(tmp_path / "packed"))
    reader.check()
    assert reader.read() == expected


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "an item is not closed by </item>, or there is none"),
        (f"<item><text>{SECRET}</text>", "an item is not closed by </item>"),
        (f"<item><text>{SECRET}</text></item>", "item 1: no <text> or no <rating>"),
        ("<item><rating>4.0</rating></item>", "item 1: no <text> or no <rating>"),
        (
            f"<item><text>{SECRET}</text><rating>3.0</rating></item>",
            "item 1: a rating must be a number from 1 to 5",
        ),
        (
            f"<item><text>{SECRET}</text><rating>bon</rating></item>",
            "item 1: a rating must be a number from 1 to 5",
        ),
    ],
)
def test_a_broken_item_is_named(cls: Path, content: str, what: str) -> None:
    write(cls / "fr" / "dvd" / "test.review", content)
    with pytest.raises(UserError) as caught:
        readers.build("cls", path=str(cls)).read()
    assert f"test.review: {what}" in str(caught.value)
    assert SECRET not in str(caught.value)


# --- the real data


@pytest.mark.real_data
def test_real_pawsx() -> None:
    folder = real("pawsx_fr")
    reader = readers.build("pawsx", path=str(folder))
    splits = reader.read()
    kept = {split: len(records) for split, records in splits.items()}
    assert {split: kept[split] + reader.dropped[split] for split in kept} == {
        "train": 1_500,
        "dev": 250,
        "test": 250,
    }
    assert reader.dropped == {"train": 5, "dev": 2, "test": 1}
    assert set(Counter(record.target for record in splits["train"])) == {("0",), ("1",)}


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("xnli", {"premise": "Un", "hypothesis": "Deux", "label": None}),
        ("cls", {"text": "Un", "label": None}),
    ],
)
def test_a_row_of_the_hub_without_a_label_is_refused(
    name: str, row: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bertinchamps.tasks.readers.hub import HubDataset

    monkeypatch.setattr(HubDataset, "read", lambda self, columns: {"train": [row], "test": [row]})
    with pytest.raises(UserError, match=r"task\.hub: train, row 1: no label"):
        readers.build(name, hub="owner/name").read()
