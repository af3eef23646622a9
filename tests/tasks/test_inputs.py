"""Texts to label, with all that stands beside them, read once as a whole and then in portions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.errors import UserError
from bertinchamps.schemas import PredictConfig, ReadingConfig
from bertinchamps.tasks import inputs
from bertinchamps.tasks.inputs import Input, Inputs, open_inputs, survey, unique
from bertinchamps.tasks.kinds import kinds
from bertinchamps.textfiles.limits import limited

SECRET = "Madame Confidentielle"


def reading(source: Path, kind: str, id_field: str | None = None) -> Inputs:
    config = PredictConfig(input=str(source), id_field=id_field)
    return open_inputs(config, kinds.build(kind).reads_words, pairs=False)


def opened(
    tmp_path: Path, name: str, content: str, kind: str = "single_label", id_field: str | None = None
) -> Inputs:
    path = tmp_path / name
    path.write_bytes(content.encode())
    return reading(path, kind, id_field)


def nothing(given: Input) -> None:
    """A check that finds nothing."""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id;text;ward\nP-77;Un;B2\n;Deux;\n"),
        ("a.tsv", "id\ttext\tward\nP-77\tUn\tB2\n\tDeux\t\n"),
        ("a.jsonl", '{"id": "P-77", "text": "Un", "ward": "B2"}\n{"id": "", "text": "Deux", "ward": ""}\n'),
    ],
)
def test_a_row_keeps_its_id_and_all_that_stands_beside_its_text(
    tmp_path: Path, name: str, content: str
) -> None:
    found = opened(tmp_path, name, content)
    first, second = found.read()
    assert (first.name, first.text, first.pair) == ("P-77", "Un", None)
    assert first.fields == (("id", "P-77"), ("text", "Un"), ("ward", "B2"))
    line = 2 if name == "a.jsonl" else 3
    assert second.name == f"{name}, line {line}"
    assert second.place == f"{tmp_path / name}: line {line}"
    assert second.fields == (("id", ""), ("text", "Deux"), ("ward", ""))
    assert found.separator == {"a.csv": ";"}.get(name)
    assert [given.name for given in found.read()] == [
        first.name,
        second.name,
    ]  # as often as they are asked for


def test_a_row_without_an_id_gets_one_of_file_and_line(tmp_path: Path) -> None:
    (row,) = opened(tmp_path, "a.csv", "text\nUn\n").read()
    assert row.fields == (("id", "a.csv, line 2"), ("text", "Un"))
    (document,) = opened(tmp_path, "a.csv.gz".removesuffix(".gz"), "text\nUn\n", "ner").read()
    assert document.name == "a-line-2"  # of a file of brat


def test_an_id_may_have_another_name_and_be_a_number(tmp_path: Path) -> None:
    content = '{"patient": 12, "text": "Un", "id": "x"}\n{"patient": null, "text": "Deux"}\n'
    one, other = opened(tmp_path, "a.jsonl", content, id_field="patient").read()
    assert (one.name, other.name) == ("12", "a.jsonl, line 2")
    with pytest.raises(
        UserError, match=r"line 1: no column 'patient' .*name the right one with id_field=NAME"
    ):
        opened(tmp_path, "a.csv", f"text\n{SECRET}\n", id_field="patient")
    with pytest.raises(UserError, match=r"line 1: no key 'patient' .*id_field=NAME"):
        list(opened(tmp_path, "b.jsonl", f'{{"text": "{SECRET}"}}', id_field="patient").read())


def test_line_ends_of_old_macs_are_reported(tmp_path: Path) -> None:
    for name in ("old.csv", "old.tsv"):
        with pytest.raises(UserError, match=rf"{name}: line 1: not valid: .* as old Macs wrote it"):
            opened(tmp_path, name, f"text\r{SECRET}\r")


def test_half_a_surrogate_pair_is_no_id(tmp_path: Path) -> None:
    found = opened(tmp_path, "a.jsonl", '{"id": "\\ud800", "text": "a"}')
    with pytest.raises(UserError, match=r"line 1: column 'id': holds half a surrogate pair"):
        list(found.read())


def test_folders_files_and_sentences_are_read_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for number in (10, 2):
        (tmp_path / "letters" / f"{number}.txt").write_text(f"Texte {number}", encoding="utf-8")
    given = reading(tmp_path / "letters", "ner").read()
    assert next(given).text == "Texte 2"
    (tmp_path / "letters" / "10.txt").write_bytes(b"\xff")  # which is read when its turn comes
    with pytest.raises(UserError, match=r"10\.txt: line 1: not UTF-8"):
        next(given)
    (one,) = reading(tmp_path / "letters" / "2.txt", "ner").read()
    assert (one.name, one.fields) == ("2", (("id", "2"),))
    (tmp_path / "a.conll").write_text("La\tO\ntoux\tO\n", encoding="utf-8")
    (sentence,) = reading(tmp_path / "a.conll", "ner").read()
    assert (sentence.text, sentence.words) == ("La toux", ((0, 2), (3, 7)))
    with pytest.raises(UserError, match=r"unknown kind of file; known are a folder of \.txt, .* \.conll"):
        opened(tmp_path, "letters.docx", SECRET, "ner")
    with pytest.raises(UserError, match=r"no row in it"):
        list(opened(tmp_path, "e.csv", "text\n").read())


def test_a_survey_meets_every_mistake_and_every_column(tmp_path: Path) -> None:
    found = survey(opened(tmp_path, "a.csv", "text,,id,\nUn,1,x,2\nDeux,3,y,4\n"), nothing)
    assert (found.texts, found.columns) == (2, ("text", "", "id", ""))
    rows: list[dict[str, Any]] = [
        {"id": 1, "text": "a"},
        {"text": "b", "id": 2},
        {"id": 3, "x": 1, "text": "c"},
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert survey(opened(tmp_path, "a.jsonl", lines), nothing).columns == ("id", "text", "x")
    with pytest.raises(UserError, match="line 4: no key 'text'"):
        survey(opened(tmp_path, "b.jsonl", lines + f'{{"note": "{SECRET}"}}'), nothing)
    quoted = opened(tmp_path, "a.tsv", 'text\n"Un ""mot"""\nDeux\n')
    assert survey(quoted, nothing).quoted == 1
    assert survey(opened(tmp_path, "q.jsonl", json.dumps({"text": '"Un"'})), nothing).quoted == 0


def test_keys_without_end_are_no_columns() -> None:
    rows = (Input(str(n), "a", f"place {n}", fields=((f"key {n}", 1),)) for n in itertools.count())
    told = (
        "place 5: more than 5 different keys, which cannot all be columns; limits.columns=N reads larger ones"
    )
    with limited(ReadingConfig(columns=5)), pytest.raises(UserError, match=told):
        survey(Inputs(lambda: rows), nothing)


@pytest.mark.parametrize(("texts", "characters", "sizes"), [(3, 999, [3, 3, 1]), (9, 20, [2, 2, 2, 1])])
def test_a_portion_is_read_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, texts: int, characters: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(inputs, "TEXTS_AT_ONCE", texts)
    monkeypatch.setattr(inputs, "CHARACTERS_AT_ONCE", characters)
    read = 0

    def some() -> Iterator[Input]:
        nonlocal read
        for number in range(7):
            read += 1
            yield Input(str(number), "dix lettre", "", pair="suite")

    found = 0
    for size, portion in zip(sizes, Inputs(some).portions(), strict=True):
        found += len(portion)
        assert (len(portion), read) == (size, found)


def test_names_are_told_apart() -> None:
    is_new = unique(["a"])
    assert [is_new(name) for name in ("b", "a", "b", "c")] == [True, False, False, True]
