"""Small inputs of kinds that users of comparable tools have reported, and what is right for each, by the commands."""

from __future__ import annotations

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
