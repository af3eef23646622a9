"""task.on_error=skip: what of the user's own examples cannot be read is left out and counted, and never told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.errors import UserError
from bertinchamps.exporting import card_words
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.inputs import open_inputs, survey
from bertinchamps.tasks.readers import readers
from bertinchamps.training.settings import compared, deciding_settings
from support import command, composed
from test_finetune import QUICK, SCRATCH

SECRET = "Zébulonnier"


def lines(*items: Any) -> bytes:
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in items).encode()


def texts(numbers: range) -> list[dict[str, Any]]:
    return [{"id": n, "text": f"La toux {n}", "entities": [[3, 7, "X"]]} for n in numbers]


FAR = {"id": "far", "text": SECRET, "entities": [[3, 700, "X"]]}
RELATED = [{**each, "relations": []} for each in texts(range(5))]
TASKS = [
    {"id": n, "data": {"text": "La toux"}, "annotations": [{"result": []}], "predictions": []}
    for n in range(4)
]
SPAN = {"type": "labels", "value": {"start": 0, "end": 99, "labels": [SECRET]}}
XMI = (
    '<xmi:XMI xmlns:xmi="http://www.omg.org/XMI" xmlns:cas="http:///uima/cas.ecore" xmlns:t="http:///t.ecore">'
    '<t:NamedEntity xmi:id="1" sofa="12" begin="0" end="2" value="X"/>'
    '<cas:Sofa xmi:id="12" sofaString="{}"/></xmi:XMI>'
)
# Reader and its settings, files of one split by their names, how many records can be read, and lines of bad ones.
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, bytes], int, list[str]]] = {
    "jsonl": (
        "classification",
        {},
        {
            "a.jsonl": lines(
                {"text": "Un", "label": "a"}, f'{{"text": "{SECRET}', {"text": "Deux", "label": "b"},
                {"txet": SECRET, "label": "a"}, {"text": "Trois", "label": [SECRET]}, {"text": 3, "label": "b"},
            )
            + b'{"text": "\xff", "label": "a"}\n'
            + lines(*({"text": f"Mot {n}", "label": "a"} for n in range(5))),
        },
        7,
        ["line 2: not valid JSON", "line 4: no key", "line 5: column", "line 6: the key", "line 7, byte"],
    ),
    "csv": (
        "classification",
        {},
        {"a.csv": f"text,label,x\nUn,a,1\n{SECRET},b\nDeux,b,1\n".encode() + b"\xe9t\xe9,a,1\nTrois,,1\nQuatre,b,1\n"
         + b"Cinq,b,1\nSix,b,1\n"},
        5,
        ["line 3: 2 columns", "line 5: not UTF-8", "line 6: column 'label': no class"],
    ),
    "tsv": (
        "classification",
        {"target": "number"},
        {"a.tsv": f"text\tlabel\nUn\t1.5\nDeux\t{SECRET}\nTrois\t\"2\nQuatre\t2\nCinq\t3\n".encode()},
        3,
        ["line 3: column 'label': not a number", "line 4: column 'label': not a number"],
    ),
    "conll": (
        "ner",
        {},
        {"a.conll": f"Un O\n\n{SECRET}\n\nToux B-X\nsèche I-X\n\nLa I-X\n\nDe ".encode()
         + b"\xe9t\xe9 O\n\nFin O\n\nRhume B-X\n"},
        4,
        ["line 3: a word and its tag", "line 10: not UTF-8", "line 8: the tag continues"],
    ),
    "numbered conll": (
        "ner",
        {"word_column": 2},
        {"a.conllu": f"1\tDu\tO\n2\tcol\tB-X\n\n1\t{SECRET}\n\n1-2\tdu\tO\n1\tde\tO\n2\tle\tO\n\n".encode()
         + b"1\tCol\tB-Y\n"},
        3,
        ["line 4: "],
    ),
    "brat": (
        "ner",
        {},
        {
            "split/1.txt": b"La toux", "split/1.ann": b"T1\tX 3 7\ttoux\n",
            "split/2.txt": SECRET.encode(), "split/2.ann": f"T1\tX 0 99\t{SECRET}\n".encode(),
            "split/3.txt": b"\xe9t\xe9", "split/3.ann": b"",
            "split/4.txt": SECRET.encode(), "split/5.ann": b"",
            **{f"split/{n}.{end}": b"" for n in range(6, 12) for end in ("txt", "ann")},
        },
        7,
        ["5.ann: its text", "4.txt: its annotations", "2.ann: line 1: reaches", "3.txt: line 1: not UTF-8"],
    ),
    "spans": ("ner", {}, {"a.jsonl": lines(*texts(range(3)), FAR, {"id": 1, "text": SECRET, "entities": []})}, 3,
              ["line 4: entities[0]: outside", "line 5: its id is also"]),
    "prodigy": (
        "ner", {"format": "prodigy"},
        {"a.jsonl": lines({"text": "La toux"}, {"text": SECRET, "spans": SECRET}, {"text": "Un rhume", "spans": []})},
        2, ["line 2: the key 'spans'"],
    ),
    "label studio": (
        "ner", {},
        {"a.json": lines([*TASKS, {"id": 9, "data": {"text": SECRET}, "annotations": [{"result": [SPAN]}]}])},
        4, ["task 5: result[0]: outside"],
    ),
    "xmi": (
        "ner", {},
        {"split/a.xmi": XMI.format("Un mot").encode(), "split/b.xmi": XMI.format(f"{SECRET}<").encode(),
         "split/c.xmi": XMI.format("Deux").encode()},
        2, ["b.xmi: line 1: not well-formed"],
    ),
    "relations": (
        "relations", {},
        {"a.jsonl": lines(*RELATED, {**RELATED[0], "id": SECRET, "relations": [{"head": 0, "tail": 7, "label": "L"}]})},
        5, ["line 6: relations[0]: its tail"],
    ),
    "brat relations": (
        "relations", {},
        {"split/1.txt": b"a b", "split/1.ann": b"T1\tX 0 1\ta\nT2\tX 2 3\tb\nR1\tL Arg1:T1 Arg2:T2\n",
         "split/2.txt": SECRET.encode(), "split/2.ann": f"R1\t{SECRET} Arg1:T1 Arg2:T2\n".encode(),
         "split/3.txt": b"", "split/3.ann": b""},
        2, ["2.ann: line 1: its argument"],
    ),
}  # fmt: skip


def written(folder: Path, files: dict[str, bytes]) -> str:
    """The file, or the folder `split`, of one split."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    first = next(iter(files))
    return str(folder / first.partition("/")[0])


@pytest.mark.parametrize("form", FORMS)
def test_bad_records_are_left_out_and_counted_without_their_text(tmp_path: Path, form: str) -> None:
    name, settings, files, good, told = FORMS[form]
    path = written(tmp_path, files)
    with pytest.raises(UserError) as stopped:
        readers.build(name, train=path, **settings).read()
    assert SECRET not in str(stopped.value)
    reader: Any = readers.build(name, train=path, on_error="skip", **settings)
    reader.check()
    read = reader.read()["train"]
    bad = reader.bad["train"]
    assert len(read) == good
    assert SECRET not in str([record[1:] for record in read])
    assert bad.count == len(told)
    for message, beginning in zip(bad.told, told, strict=True):
        assert message.startswith(str(tmp_path)), message
        assert f"{beginning}" in message
        assert SECRET not in message


def test_numbered_words_are_read_as_they_are_without_the_bad_sentence(tmp_path: Path) -> None:
    # the bad line has two columns, and files of two columns number no words
    name, settings, files, _, _ = FORMS["numbered conll"]
    reader = readers.build(name, train=written(tmp_path, files), on_error="skip", **settings)
    assert [document.text for document in reader.read()["train"]] == ["Du col", "de le", "Col"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "content", "settings", "told"),
    [
        ("a.csv", "text,label\nUn,a\n", {"label": "labl"}, "no column 'labl'"),
        ("a.jsonl", '{"text": "Un", "label": "a"}\n' * 3, {"label": "labl"}, "name the right one with task.label=NAME"),
        ("a.csv", 'text,label\nUn,a\nDeux,b\n"Trois,a\n', {}, "line 4: not valid: a quote is never closed"),
        ("a.csv", "text,label\n", {}, "no row in it"),
        ("a.jsonl", '{"text": "Un", "label": "a"}\n' + "{\n" * 2, {}, "2 of 3 records cannot be read"),
        ("a.xlsx", "", {}, "unknown kind of file"),
    ],
)  # fmt: skip
def test_what_is_no_mistake_of_single_records_stops_in_any_case(
    tmp_path: Path, name: str, content: str, settings: dict[str, str], told: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    reader = readers.build("classification", train=str(tmp_path / name), on_error="skip", **settings)
    with pytest.raises(UserError, match=re.escape(told)):
        reader.read()


def test_numbers_through_the_file_are_no_words_where_a_sentence_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("1 Le O\n\n2\n\n3 col O\n4 osseux O\n", encoding="utf-8")
    reader = readers.build("ner", train=str(tmp_path / "a.conll"), on_error="skip")
    with pytest.raises(UserError, match="it numbers the words"):
        reader.read()


def test_a_tag_scheme_that_does_not_fit_stops(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("La O\ntoux I-X\n\nUn I-X\n\nLe O\n", encoding="utf-8")
    reader = readers.build("ner", train=str(tmp_path / "a.conll"), on_error="skip")
    with pytest.raises(UserError, match="line 2: the tag continues") as raised:
        reader.read()
    assert "is read as CoNLL columns" in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "good", "told"),
    [
        ("a.csv", f"id,text\n1,Un\n{SECRET}\n2,Deux\n", ["1", "2"], "line 3: 1 columns"),
        ("a.jsonl", lines({"text": "Un"}, {"text": [SECRET]}).decode(), ["a-line-1"], "line 2: the key 'text'"),
        ("a.conll", f"1\tUn\tO\n\n1\t{SECRET}\tO\n2\t\tO\n\n1\tMot\tO\n2\tSept\tO\n", ["a-line-1", "a-line-6"],
         "line 4"),
        ("split/1.txt", "Un", ["1", "3"], "2.txt: line 1: not UTF-8"),
    ],
)  # fmt: skip
def test_new_texts_that_cannot_be_read_are_left_out_in_each_reading(
    tmp_path: Path, name: str, content: str, good: list[str], told: str
) -> None:
    place = written(tmp_path, {name: content.encode()})
    if name.startswith("split"):
        written(tmp_path, {"split/2.txt": SECRET.encode("utf-16"), "split/3.txt": b""})
    inputs = open_inputs(PredictConfig(input=place, on_error="skip"), words=True, pairs=False)
    for _ in range(2):
        found = survey(inputs, lambda given: None)
        assert inputs.bad.count == 1
        assert told in inputs.bad.told[0]
        assert SECRET not in inputs.bad.told[0]
    assert [given.name for given in inputs.read()] == good
    assert found.texts == len(good)
    with pytest.raises(UserError, match=re.escape(told)):
        survey(open_inputs(PredictConfig(input=place), words=True, pairs=False), lambda given: None)


def test_entities_of_new_texts_that_do_not_fit_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(*texts(range(3)), FAR))
    folder = written(
        tmp_path, {"split/1.txt": b"a", "split/1.ann": b"T1\tX 0 1\ta\n", "split/2.txt": SECRET.encode()}
    )
    for place, good, told in ((str(tmp_path / "a.jsonl"), 3, "line 4: "), (folder, 1, "2.ann is missing")):
        config = PredictConfig(input=place, on_error="skip")
        inputs = open_inputs(config, words=True, pairs=False, entities=True)
        assert [bool(given.entities) for given in inputs.read()] == [True] * good
        (message,) = inputs.bad.told
        assert told in message
        assert SECRET not in message


@pytest.mark.parametrize("name", ["classification", "ner", "relations"])
def test_another_value_is_refused(name: str) -> None:
    assert "task.on_error=ignore: one of stop, skip" in readers.problems(
        name, {"train": "a", "on_error": "ignore"}
    )


def test_runs_of_before_the_setting_are_resumed() -> None:
    config = composed("task=ner", "task.train=a", "task.on_error=skip", command="finetune")
    before = {key: value for key, value in deciding_settings(config).items() if key != "task.on_error"}
    now, then = compared(before, config)
    assert now == then


@pytest.mark.long
def test_a_run_tells_how_many_records_each_split_lacks(tmp_path: Path) -> None:
    good = [{"text": f"note {n} du patient", "label": "ab"[n % 2]} for n in range(24)]
    cut = f'{{"text": "{SECRET}'
    for split, own in {
        "train": [*good, cut, {"text": SECRET}],
        "dev": good[:6],
        "test": [cut, *good[:8]],
    }.items():
        (tmp_path / f"{split}.jsonl").write_bytes(lines(*own))
    words = ["task=classification", *(f"task.{split}={split}.jsonl" for split in ("train", "dev", "test"))]
    small = [*QUICK, *SCRATCH, "budget.epochs=1", "run_dir=run"]
    stopped = command("bertinchamps.finetune", *words, *small, cwd=tmp_path)
    assert stopped.returncode == 2
    assert "test.jsonl: line 1: not valid JSON" in stopped.stderr
    done = command("bertinchamps.finetune", *words, "task.on_error=skip", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("left out   records that cannot be read: train 2, test 1") == 1
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert {split: own["records"] for split, own in results["unreadable"].items()} == {"train": 2, "test": 1}
    assert results["unreadable"]["test"]["first"][0].startswith("test.jsonl: line 1: not valid JSON")
    of_test = "left out of test: 1 record that cannot be read; scores of test are over the other 8"
    assert of_test in results["remarks"]
    new = [{"id": 1, "text": "note du patient"}, cut, {"id": 2, "text": "patient"}, {"id": 3, "txet": SECRET}]
    (tmp_path / "new.jsonl").write_bytes(lines(*new, {"id": 4, "text": ""}))
    words = ["model=run", "input=new.jsonl", "output=labelled.jsonl", "runtime=eager", "runtime.threads=1"]
    refused = command("bertinchamps.predict", *words, cwd=tmp_path)
    assert refused.returncode == 2
    assert "new.jsonl: line 2: not valid JSON" in refused.stderr
    labelled = command("bertinchamps.predict", *words, "on_error=skip", cwd=tmp_path)
    assert labelled.returncode == 0, labelled.stderr
    assert (
        "cannot be read: 2 of the records; the first is new.jsonl: line 2: not valid JSON" in labelled.stderr
    )
    rows = (tmp_path / "labelled.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["id"] for row in rows] == [1, 2, 4]
    assert SECRET not in refused.stderr + labelled.stderr
    of_train = "left out of train: 2 records that cannot be read"
    assert {of_train, of_test} <= set(card_words.remarks(results["remarks"]))
    assert SECRET not in stopped.stderr + done.stdout + done.stderr
    needles = SECRET.encode(), json.dumps(SECRET)[1:-1].encode()
    for file in (tmp_path / "run").rglob("*"):
        assert not file.is_file() or not any(needle in file.read_bytes() for needle in needles), file
