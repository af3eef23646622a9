"""No word of a document in anything but the blocks, the tokenizer and the weights; no code from data."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from support import QUICK, command

SECRET = "Zébulonnier"


def test_no_word_of_a_document_reaches_logs_metrics_or_the_run(tmp_path: Path) -> None:
    notes = [{"text": f"Madame {SECRET} a {n} ans et consulte pour une toux. " * 20} for n in range(20, 80)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, notes)), encoding="utf-8")
    words = [word for word in QUICK if not word.startswith("data")]
    words += [
        "data=files",
        "data.files=[notes.jsonl]",
        "budget.steps=3",
        "run_dir=run",
        "checkpoint.every_steps=1",
    ]
    cache = {"BERTINCHAMPS_CACHE": str(tmp_path / "cache")}
    result = command("bertinchamps.pretrain", *words, "tracker=tensorboard", cwd=tmp_path, **cache)
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    needle = SECRET.encode()
    allowed = {"tokenizer.json"}  # its entries are words of the corpus, which docs/privacy.md says
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file() and file.name not in allowed:
            assert needle not in file.read_bytes(), file


@pytest.mark.parametrize("text_field", ["text", "texte"])
def test_no_word_of_a_document_reaches_an_error(tmp_path: Path, text_field: str) -> None:
    bad = f'{{"texte": "{SECRET}"}}\n{{"text": "{SECRET}\n'
    (tmp_path / "notes.jsonl").write_text(bad, encoding="utf-8")
    words = ["data=files", "data.files=[notes.jsonl]", f"data.text_field={text_field}"]
    result = command("bertinchamps.prepare", *words, cwd=tmp_path)
    assert result.returncode == 2
    assert "notes.jsonl" in result.stderr
    assert SECRET not in result.stderr


def test_nothing_is_loaded_in_a_way_that_could_run_code() -> None:
    source = Path(__file__).resolve().parents[1] / "src"
    for file in source.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert called not in ("pickle.load", "pickle.loads", "eval", "exec", "joblib.load"), file
                assert called != "torch.load" or given.get("weights_only") == "True", file
                assert given.get("trust_remote_code", "False") == "False", file
