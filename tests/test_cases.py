"""Small inputs of kinds that users of comparable tools have reported, and what is right for each, by the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import command
from test_finetune import QUICK, SCRATCH

TRAINING = [*QUICK, *SCRATCH, "budget.epochs=1", "run_dir=run"]


def finetuned(tmp_path: Path, *words: str) -> Any:
    """`python -m bertinchamps.finetune` with small settings, in a folder."""
    return command("bertinchamps.finetune", *words, *TRAINING, cwd=tmp_path)


def refused(result: Any) -> str:
    """What a command said that refused."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def test_csv_with_line_ends_of_old_macs(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(b"text,label\rbonjour,pos\rsalut,neg\r")
    told = refused(finetuned(tmp_path, "task=classification", "task.train=old.csv"))
    assert "old.csv: line 1: not valid" in told
    assert "tr '\\r' '\\n'" in told


def test_lists_in_the_cells_of_a_table(tmp_path: Path) -> None:
    words = ["task=classification", "task.train=records.csv", "task.target=multi", "selection.dev_share=0.5"]
    json_cells = "".join(f'note {n},"[""vis"", ""outil""]"\nsuite {n},[]\n' for n in range(4))
    (tmp_path / "records.csv").write_text("text,label\n" + json_cells, encoding="utf-8")
    assert finetuned(tmp_path, *words).returncode == 0
    facts = json.loads((tmp_path / "run/model/task.json").read_text(encoding="utf-8"))
    assert facts["labels"] == ["outil", "vis"]
    (tmp_path / "records.csv").write_text("text,label\nnote,\"['vis', 'outil']\"\n", encoding="utf-8")
    told = refused(finetuned(tmp_path, *words))
    assert "records.csv: line 2: column 'label': a list that is not JSON" in told
    assert "json.dumps" in told


def test_classes_and_types_that_only_dev_has(tmp_path: Path) -> None:
    for name, classes in (("train", ("0", "1")), ("dev", ("0.0", "1.0"))):
        rows = "".join(f"{name} {n},{classes[n % 2]}\n" for n in range(12))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    told = refused(finetuned(tmp_path, "task=classification", "task.train=train.csv", "task.dev=dev.csv"))
    assert "task.dev: classes that no training example has (2), the first in dev.csv, line 2" in told
    assert "in train, 2 of them are perhaps written otherwise, as 0.0 is beside 0" in told
    for name, labels in (("train", ("DISO", "CHEM")), ("dev", ("diso", "chem")), ("half", ("DISO", "chem"))):
        notes = [{"text": f"Une grippe {name} {n}.", "label": [[4, 10, labels[n % 2]]]} for n in range(8)]
        lines = "".join(json.dumps(note) + "\n" for note in notes)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    told = refused(finetuned(tmp_path, "task=ner", "task.train=train.jsonl", "task.dev=dev.jsonl"))
    assert "task.dev: none of its 2 labels is in the training examples" in told
    result = finetuned(tmp_path, "task=ner", "task.train=train.jsonl", "task.dev=half.jsonl")
    assert result.returncode == 0, result.stderr
    assert (
        "labels of dev that train lacks: 1, 4 times, each of which is missed" in result.stdout + result.stderr
    )
