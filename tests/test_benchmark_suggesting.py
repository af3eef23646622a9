"""Simulated annotators: documents are chosen, annotated, learnt and scored, and a table tells how each method did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import suggesting
from support import ROOT, command
from tiny_corpora import brat_corpus

RECIPE = ["arch=tiny", "tokenizer.vocab_size=300", "runtime=eager", "runtime.compile=off", "budget.epochs=1"]
RECIPE += ["selection.dev_share=0.3"]  # of four documents


# In a fork that has imported the libraries, from which the commands that the benchmark runs are forked, too.
CODE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from benchmarks import suggesting; suggesting.main()"


def test_a_simulation_ends_in_a_table(tmp_path: Path) -> None:
    brat_corpus(tmp_path / "brat")
    task = ["task=ner", "task.train=brat/train", "task.test=brat/test", "max_length=48", *RECIPE]
    options = ["--model=scratch", "--methods=both", "--seeds=0", "--start=4", "--step=3", "--rounds=1"]
    done = command("-c", CODE, *options, *task, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "suggesting.json").read_text(encoding="utf-8"))
    assert [(row["method"], row["documents"]) for row in result["rows"]] == [("both", 4), ("both", 7)]
    assert result["rows"][0]["words"] < result["rows"][1]["words"]
    assert "| documents | 4 | 7 | words |" in done.stdout
    few = command("-c", CODE, *options[:-1], "--rounds=9", *task, cwd=tmp_path)
    assert few.returncode != 0
    assert "--start, --step, --rounds: 31 documents, and train has" in few.stderr


def test_the_table_has_means_and_deviations(tmp_path: Path) -> None:
    scores = {"random": (0.50, 0.52), "both": (0.55, 0.57)}
    rows = [
        {
            "method": method,
            "seed": seed,
            "documents": documents,
            "words": 10 * documents,
            "f1": f1 + documents / 1000,
        }
        for method, own in scores.items()
        for seed, f1 in enumerate(own)
        for documents in (10, 20)
    ]
    result = {"task": "toy", "rows": rows}
    assert suggesting.table(result).splitlines() == [
        "| documents | 10 | 20 | words |",
        "| --- | ---: | ---: | ---: |",
        "| random | 52.0 ± 1.4 | 53.0 ± 1.4 | 200 |",
        "| both | 57.0 ± 1.4 | 58.0 ± 1.4 | 200 |",
    ]
    suggesting.plot(result, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("name", suggesting.METHODS)
def test_the_methods_are_those_of_the_command(name: str) -> None:
    from bertinchamps.tasks.suggestion import methods

    assert methods.names() == sorted(suggesting.METHODS)
    assert name in methods.names()
