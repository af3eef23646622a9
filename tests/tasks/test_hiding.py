"""De-identified output: every format, annotations that stay, the map for the user alone, and nothing in the logs."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bertinchamps.checks.prediction import problems
from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import Stopped, UserError
from bertinchamps.finetune import finetune
from bertinchamps.predict import predict
from bertinchamps.schemas import PredictConfig
from bertinchamps.tasks.deidentification import rules
from bertinchamps.tasks.facts import TaskFacts, read_facts
from bertinchamps.tasks.formats import brat
from bertinchamps.tasks.hiding import open_hiding
from bertinchamps.tasks.inputs import open_inputs, survey
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.outputs import format_of, open_output
from bertinchamps.tasks.writing import checker, write
from letters import templates
from support import composed
from test_finetune import QUICK, SCRATCH

TEXT = "Mme Dupont tousse, dit Mme Dupont le 18/02/2019."
FACTS = TaskFacts("letters", "identifiers", "flat", ("DATE", "NOM"), 128)


def found(text: str) -> tuple[Entity, ...]:
    """Each Dupont, and the date."""
    places = [("NOM", "Dupont", start) for start in range(len(text)) if text.startswith("Dupont", start)]
    places += [("DATE", "18/02/2019", text.index("18/02"))] if "18/02" in text else []
    return tuple(sorted(Entity(label, ((start, start + len(word)),)) for label, word, start in places))


def run(*words: str) -> int:
    """`predict` with a model that finds what `found` finds; the number of identifiers that were replaced."""
    config: PredictConfig = composed(*words, command="predict")
    kind = kinds.build("identifiers")
    hiding = open_hiding(config, kind, FACTS)
    assert hiding is not None
    form = format_of(config, hiding.written, FACTS)
    inputs = open_inputs(config, True, False, annotated=True)
    columns = survey(inputs, checker(hiding.written, FACTS, form, inputs)).columns
    labelled = [(given, AnnotatedText(given.name, given.text, found(given.text))) for given in inputs.read()]
    with hiding.mapping(), open_output(config, form) as place:
        write(
            place, form, hiding.written, FACTS, hiding.hidden(labelled, inputs.text_column), inputs, columns
        )
    return hiding.replaced


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text(TEXT)
    return tmp_path


def test_a_folder_of_texts_becomes_one(folder: Path) -> None:
    assert run(f"input={folder / 'in'}", f"output={folder / 'out'}", "deidentify=tags") == 3
    assert [path.name for path in (folder / "out").iterdir()] == ["a.txt"]
    assert (folder / "out/a.txt").read_text() == "Mme <NOM> tousse, dit Mme <NOM> le <DATE>."


def test_annotations_of_a_brat_folder_are_moved_along(folder: Path) -> None:
    (folder / "in/a.ann").write_text(
        "T1\tSIGN 11 17\ttousse\nT2\tWHO 0 10\tMme Dupont\n#1\tAnnotatorNotes T1\tDupont\n"
    )
    run(f"input={folder / 'in'}", f"output={folder / 'out'}", "deidentify=tags")
    (document,) = brat.read_folder(folder / "out")
    covered = {entity.label: document.text[entity.start : entity.end] for entity in document.entities}
    assert covered == {"SIGN": "tousse", "WHO": "Mme <NOM>"}
    assert "Dupont" not in (folder / "out/a.ann").read_text(), "notes are left out"


def test_columns_and_lists_of_entities_stay(folder: Path) -> None:
    item = {"ward": "B2", "text": TEXT, "id": 7, "label": [[11, 17, "SIGN"]], "labels": ["a", "b"]}
    (folder / "in.jsonl").write_text(json.dumps(item) + "\n")
    run(
        f"input={folder / 'in.jsonl'}",
        f"output={folder / 'out.jsonl'}",
        "deidentify=tags",
        "deidentify.labels=[NOM]",
    )
    written = json.loads((folder / "out.jsonl").read_text())
    assert written["text"] == "Mme <NOM> tousse, dit Mme <NOM> le 18/02/2019."
    assert written["label"] == [{"start": 10, "end": 16, "label": "SIGN"}]
    assert (written["ward"], written["id"], written["labels"]) == ("B2", 7, ["a", "b"])


def test_relations_of_json_lines_still_link_the_same_entities(folder: Path) -> None:
    relations = [{"head": 0, "tail": 1, "label": "SAID"}]
    item = {
        "text": TEXT, "entities": [[30, 33, "WHO"], [11, 17, "SIGN"], [4, 10, "WHO"]], "relations": relations
    }  # fmt: skip
    (folder / "in.jsonl").write_text(json.dumps(item) + "\n")
    run(f"input={folder / 'in.jsonl'}", f"output={folder / 'out.jsonl'}", "deidentify=tags")
    written = json.loads((folder / "out.jsonl").read_text())
    covered = [written["text"][each["start"] : each["end"]] for each in written["entities"]]
    assert covered == ["<NOM>", "tousse", "<NOM>"]
    assert written["entities"][0]["start"] > written["entities"][2]["start"]
    assert written["relations"] == relations


def test_numbers_by_which_relations_of_doccano_name_entities_stay(folder: Path) -> None:
    entities = [
        {"id": 8, "label": "SIGN", "start_offset": 11, "end_offset": 17},
        {"id": 7, "label": "WHO", "start_offset": 4, "end_offset": 10},
    ]
    item = {"text": TEXT, "entities": entities, "relations": [{"id": 1, "from_id": 8, "to_id": 7}]}
    (folder / "in.jsonl").write_text(json.dumps(item) + "\n")
    run(f"input={folder / 'in.jsonl'}", f"output={folder / 'out.jsonl'}", "deidentify=tags")
    written = json.loads((folder / "out.jsonl").read_text())
    assert [(each["id"], each["label"]) for each in written["entities"]] == [(8, "SIGN"), (7, "WHO")]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_keeps_its_rows_and_columns(folder: Path, ending: str) -> None:
    sign = {"csv": ";", "tsv": "\t"}[ending]
    rows = [["id", "note", "ward"], ["1", TEXT, "B2"], ["2", "rien", "B3"]]
    (folder / f"in.{ending}").write_text("".join(sign.join(row) + "\n" for row in rows))
    run(
        f"input={folder / f'in.{ending}'}", f"output={folder / f'out.{ending}'}", "text_field=note", "deidentify=tags"
    )  # fmt: skip
    rows[1][1] = "Mme <NOM> tousse, dit Mme <NOM> le <DATE>."
    assert [line.split(sign) for line in (folder / f"out.{ending}").read_text().splitlines()] == rows


def test_texts_of_a_folder_become_a_column(folder: Path) -> None:
    run(
        f"input={folder / 'in'}",
        f"output={folder / 'out.csv'}",
        "deidentify=tags",
        "deidentify.labels=[DATE]",
    )
    assert (folder / "out.csv").read_text().splitlines() == [
        "id,text",
        'a,"Mme Dupont tousse, dit Mme Dupont le <DATE>."',
    ]


def test_the_map_is_for_the_user_alone_and_only_when_asked(folder: Path) -> None:
    (folder / "key").write_text("0123456789abcdef")
    words = ["deidentify=surrogates", f"deidentify.key_file={folder / 'key'}", f"input={folder / 'in'}"]
    run(*words, f"output={folder / 'one'}")
    assert sorted(path.name for path in folder.iterdir()) == ["in", "key", "one"]
    run(*words, f"output={folder / 'two'}", f"deidentify.map={folder / 'secret/map.jsonl'}")
    assert (folder / "one/a.txt").read_text() == (folder / "two/a.txt").read_text()
    file = folder / "secret/map.jsonl"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["id"], row["label"], row["original"]) for row in rows] == [
        ("a", "NOM", "Dupont"), ("a", "NOM", "Dupont"), ("a", "DATE", "18/02/2019"),
    ]  # fmt: skip
    assert rows[0]["surrogate"] == rows[1]["surrogate"]
    config = composed(*words, f"deidentify.map={file}", command="predict")
    assert any(f"deidentify.map={file}: is there already" in problem for problem in problems(config))


@pytest.mark.parametrize("first", [True, False])
def test_a_kill_between_the_names_of_output_and_map_loses_neither(
    first: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, file = folder / "out.jsonl", folder / "map.jsonl"
    words = ["deidentify=tags", f"deidentify.map={file}", f"input={folder / 'in'}", f"output={output}"]
    replace = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target == (output if first else file):
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises((KeyboardInterrupt, Stopped)):
            run(*words)
    config = composed(*words, command="predict")
    (told,) = [problem for problem in problems(config) if "model" not in problem] or [""]
    if first:  # the same command writes both anew
        assert told == ""
        run(*words)
    else:
        assert told.endswith(
            f"if it is the output of a run that was killed at its end, {file}.unfinished is its map"
        )
        Path(f"{file}.unfinished").rename(file)
    assert {json.loads(line)["original"] for line in file.read_text().splitlines()} == {
        "Dupont",
        "18/02/2019",
    }
    assert "Dupont" not in output.read_text()


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ([], "Tél. <TEL>, <MAIL>, n° <SECU>, Mme <NOM>"),
        (["deidentify.rules=false"], "Tél. 01 42 15 93 30, a.b@chu.fr, n° 2 91 48 2A 398 429 65, Mme <NOM>"),
        (["deidentify.labels=[TEL]"], "Tél. <TEL>, a.b@chu.fr, n° 2 91 48 2A 398 429 65, Mme Dupont"),
    ],
)
def test_what_has_a_form_of_its_own_is_found_without_the_model(
    folder: Path, words: Sequence[str], left: str
) -> None:
    text = "Tél. 01 42 15 93 30, a.b@chu.fr, n° 2 91 48 2A 398 429 65, Mme Dupont"
    (folder / "in/a.txt").write_text(text, encoding="utf-8")
    run(f"input={folder / 'in'}", f"output={folder / 'out'}", "deidentify=tags", *words)
    assert (folder / "out/a.txt").read_text(encoding="utf-8") == left


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("+33 1 42 15 93 30 ou (33) 01.42.15.93.30", ["TEL", "TEL"]),
        ("0142159330", ["TEL"]),
        ("+32 2 123 45 67, +41 (0)21 314 11 11, 00352 4411 2233", ["TEL"] * 3),
        ("jean-luc.dupont+rdv@hopital-nord.aphp.fr", ["MAIL"]),
        ("1850578006084 36", ["SECU"]),
        ("2 9 1 4 8 2 3 9 8 4 2 9 6 5 4", ["SECU"]),
        ("le 01/05/2017 10:15, du 25/9/2012-26/11/2012, ISBN 978-0664226183", []),
        ("06 6246 77 36, 12 345 678 901 234 567, 3400930000120", []),
        ("dose @ 3 mg, 80-120 mmHg, 02 39 20 03", []),
    ],
)
def test_forms_of_identifiers(text: str, labels: Sequence[str]) -> None:
    assert [entity.label for entity in rules.found(text)] == list(labels)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["deidentify.labels=[NAME]"],
            "deidentify.labels: nothing finds NAME \\(the model finds: DATE, NOM; by their form: MAIL, TEL, SECU\\)",
        ),
        (
            ["deidentify.labels=[TEL]", "deidentify.rules=false"],
            "nothing finds TEL \\(the model finds: DATE, NOM\\)",
        ),
        (["output=out.conll"], "texts without entities are written where"),
    ],
)
def test_what_cannot_be_is_a_message(folder: Path, words: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run("deidentify=tags", f"input={folder / 'in'}", *words)


def test_a_model_of_classes_cannot_hide(tmp_path: Path) -> None:
    config = composed("deidentify=tags", command="predict")
    with pytest.raises(UserError, match="finds no entities in texts"):
        open_hiding(config, kinds.build("single_label"), FACTS)


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_from_templates_to_hidden_texts(tmp_path: Path, head: str, capfd: pytest.CaptureFixture[str]) -> None:
    settings = [
        "task=deidentification", f"task.templates={templates(tmp_path)}", "task.documents=60", *QUICK, *SCRATCH,
        f"head={head}", "budget.epochs=4", "dropout=0", "mask_rate=0", "optim.learning_rate=3e-3",
        "selection.recall=0.9", f"run_dir={tmp_path / 'run'}",
    ]  # fmt: skip
    finetune(composed(*settings, command="finetune"))
    results: dict[str, Any] = json.loads((tmp_path / "run/results.json").read_text())
    scores = results["scores"]["test"]
    assert {"strict", "tokens", "leaks", "leaks_at_half"} <= scores.keys()
    facts = read_facts(tmp_path / "run/model")
    assert len(set(facts.thresholds)) == 1
    dev = results["scores"]["dev"]
    assert dev["leaks"]["recall"] >= dev["leaks_at_half"]["recall"]
    assert dev["leaks"]["recall"] >= 0.9 or facts.thresholds[0] == 0.001
    (tmp_path / "in.jsonl").write_text(json.dumps({"text": "Mme ZIEGELMANN, vue le 18/02/2019"}) + "\n")
    capfd.readouterr()
    words = [
        f"model={tmp_path / 'run'}", f"input={tmp_path / 'in.jsonl'}", f"output={tmp_path / 'out.jsonl'}",
        "deidentify=surrogates", f"deidentify.map={tmp_path / 'map'}", "runtime=eager",
    ]  # fmt: skip
    predict(composed(*words, command="predict"))
    printed = "".join(capfd.readouterr())
    assert "replaced; what the model missed is still there" in printed
    assert "ZIEGELMANN" not in printed
    originals = [json.loads(line)["original"] for line in (tmp_path / "map").read_text().splitlines()]
    written = json.loads((tmp_path / "out.jsonl").read_text())["text"]
    assert not any(original in written for original in originals if len(original) > 3)
