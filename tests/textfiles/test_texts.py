"""Texts of files of any kind, without labels; what is wrong is told without a text."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from bertinchamps.errors import UserError
from bertinchamps.textfiles.texts import Entry, files_of, texts_of

SECRET = "Confidentielle"


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("test/A/1", "test/A/2", "test/B/1"):
        write(tmp_path / f"corpus/{name}.txt", f"texte de {name}")
        write(tmp_path / f"corpus/{name}.ann", "T1\tDISO 0 5\ttexte\n")
    return tmp_path / "corpus"


def test_a_pattern_chooses_files_of_a_folder_and_of_an_archive(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, f"release/{file.relative_to(folder)}")
    chosen = ["texte de test/A/1", "texte de test/A/2"]
    for place in (folder, tmp_path / "corpus.zip"):
        assert list(texts_of(f"{place}::test/A/*.txt")) == chosen
        assert len(list(texts_of(str(place)))) == 3
    assert files_of(f"{tmp_path}/corpus.zip::test/A/*.txt") == [tmp_path / "corpus.zip"]
    assert files_of(f"{folder}::test/A/*.txt") == [folder / "test/A/1.txt", folder / "test/A/2.txt"]


@pytest.mark.parametrize(
    ("name", "content", "part", "expected"),
    [
        ("t.csv", 'text,label\n"un, deux",a\ntrois,b\n', "", ["un, deux", "trois"]),
        ("t.tsv", "id\ts1\ts2\n1\tun\tdeux\n2\ttrois\tquatre\n", "s1,s2", ["un", "deux", "trois", "quatre"]),
        ("t.jsonl", '{"text": "un"}\n{"text": "deux", "spans": []}\n', "", ["un", "deux"]),
        ("t.jsonl", '{"a": "un", "b": "deux"}\n', "b", ["deux"]),
        ("t.txt", "un\ndeux\n", "", ["un\ndeux\n"]),
        ("t.bio", "un O\ndeux B-A\n\ntrois O\n", "", ["un deux", "trois"]),
        ("t.tsv", "O\tun\nO\tdeux\n\nO\ttrois\n", "2", ["un deux", "trois"]),
        ("t.conllu", "1\tun\t_\tO\n2-3\tdu\t_\tO\n2\tde\t_\tO\n3\tle\t_\tO\n", "", ["un de le"]),
    ],
)
def test_every_kind_of_file_gives_its_texts(
    name: str, content: str, part: str, expected: list[str], tmp_path: Path
) -> None:
    part = f"::{part}" if part else ""
    assert list(texts_of(f"{write(tmp_path / name, content)}{part}")) == expected
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content.encode()))
    assert list(texts_of(f"{tmp_path / name}.gz{part}")) == expected


@pytest.mark.parametrize(
    ("name", "content", "part", "message"),
    [
        ("t.csv", f"texte,label\n{SECRET},a\n", "", "no column 'text'"),
        ("t.jsonl", f'{{"texte": "{SECRET}"}}\n', "", "line 1: no text under the key 'text'"),
        ("t.pdf", SECRET, "", "unknown kind of file"),
        ("t.bio", f"{SECRET} O\n", "9", "line 1: has no column 9"),
        ("absent.txt", None, "", "no such file or folder"),
    ],
)
def test_what_cannot_be_read_is_told_without_a_text(
    name: str, content: str | None, part: str, message: str, tmp_path: Path
) -> None:
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(UserError) as caught:
        list(texts_of(f"{tmp_path / name}::{part}"))
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_path_may_be_a_pattern_of_files_and_folders(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "sub/b"):
        write(tmp_path / f"notes/{name}.csv", f"note,x\n{name},1\n")
    assert list(texts_of(f"{tmp_path}/notes/**/*.csv::note")) == ["a", "sub/b"]
    assert files_of(f"{tmp_path}/notes/*.csv") == [tmp_path / "notes/a.csv"]
    assert list(texts_of(f"{folder}/*::A/2.txt")) == ["texte de test/A/2"]
    write(tmp_path / "odd[1].txt", "x")
    assert list(texts_of(f"{tmp_path}/odd[1].txt")) == ["x"]
    with pytest.raises(UserError, match=r"\*\.jsonl: no such file or folder .*a pattern may hold"):
        files_of(f"{tmp_path}/notes/*.jsonl")


def test_a_pattern_without_files_and_files_that_are_no_text_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no file in it matches dev/\*\.txt"):
        files_of(f"{folder}::dev/*.txt")
    (folder / "test/A/1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"1\.txt: byte 4: not UTF-8"):
        list(texts_of(f"{folder}::test/A/*.txt"))


def test_the_name_of_an_entry_has_no_folder() -> None:
    assert Entry.of("~/a/b.zip::test/*.txt").name == "b.zip::test/*.txt"
    assert Entry.of("/a/b.csv").name == "b.csv"
