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
