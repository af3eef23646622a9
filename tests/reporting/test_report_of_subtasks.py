"""A run on several tasks stands in the tables of each of them, as a row that says what it was trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from written_runs import ner, page_of, rows_of, table_under, write_run

WHOLE = {"task": "quaero_both", "data_fingerprint": "both", "model_label": "small", "head": "nested"}


def of_subtask(f1: float, fingerprint: str, **more: Any) -> dict[str, Any]:
    scores = {"dev": ner(f1 + 0.1), "test": ner(f1)}
    return {"data_fingerprint": fingerprint, "scores": scores, "pretraining_saw": {}, **more}


def subtasks(emea: float, medline: float) -> dict[str, Any]:
    return {"quaero_emea": of_subtask(emea, "aaaa"), "quaero_medline": of_subtask(medline, "mmmm")}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_a_run_on_both_has_a_row_beside_the_runs_on_one(runs: Path) -> None:
    for seed in (0, 1):
        both = {**WHOLE, "subtasks": subtasks(0.6 + seed / 50, 0.4)}
        write_run(runs / f"both{seed}", ner(0.5), seed, remarks=["A remark."], **both)
        write_run(runs / f"emea{seed}", ner(0.3), seed, model_label="small", head="nested")
    page = page_of(runs)
    emea = table_under(page, "EMEA (drug leaflets): entities, strict")[2:4]
    assert [(row[0], row[4], row[5]) for row in emea] == [
        ("small, nested", "30.0 ± 0.0", "ours, 2 seeds: 0, 1"),
        ("small, nested, trained on quaero_both", "61.0 ± 1.4", "ours, 2 seeds: 0, 1"),
    ]
    medline = table_under(page, "MEDLINE (titles): entities, nested")
    assert medline[2][0] == "small, nested, trained on quaero_both"
    assert medline[2][4] == "35.0 ± 0.0"
    assert "CamemBERT-bio, flat" in [row[0] for row in medline]
    whole = table_under(page, "EMEA and MEDLINE in one training: entities, strict")
    assert [row[0] for row in whole[2:]] == ["small, nested"]
    assert "quaero_both: A remark." in page.split("EMEA (drug leaflets)\n")[1].split("\n## ")[0]
    records = {
        (row["setting"], row["split"]): row
        for row in rows_of(runs, "quaero_emea_strict")
        if row["from"] == "ours"
    }
    of_both, of_one = (
        records[name, "dev"] for name in ("small, nested, trained on quaero_both", "small, nested")
    )
    assert (of_both["trained_on"], of_one["trained_on"]) == ("quaero_both", "")
    assert float(of_both["f1"]) == pytest.approx(0.71)
    assert of_both["settings_digest"] != of_one["settings_digest"]


def test_the_cost_and_the_command_of_a_run_are_told_once(runs: Path) -> None:
    write_run(runs / "both", ner(0.5), **WHOLE, subtasks=subtasks(0.6, 0.4))
    page = page_of(runs)
    assert [row["task"] for row in rows_of(runs, "finetuning_cost")] == ["quaero_both"]
    assert len(table_under(page, "What fine-tuning cost")) == 3
    assert page.count("python -m bertinchamps.finetune seed=0") == 1
    assert page.startswith("# Report\n\n1 fine-tuning runs")


def test_runs_on_both_whose_other_corpus_differs_are_not_averaged(runs: Path) -> None:
    write_run(runs / "a", ner(0.5), 0, **WHOLE, subtasks=subtasks(0.6, 0.4))
    other = {"quaero_emea": of_subtask(0.8, "aaaa"), "quaero_medline": of_subtask(0.8, "other")}
    write_run(runs / "b", ner(0.5), 1, **{**WHOLE, "data_fingerprint": "changed"}, subtasks=other)
    rows = table_under(page_of(runs), "EMEA (drug leaflets): entities, strict")[2:4]
    assert [(row[0], row[4]) for row in rows] == [
        ("small, nested, trained on quaero_both (trained_on_data=both)", "60.0"),
        ("small, nested, trained on quaero_both (trained_on_data=changed)", "80.0"),
    ]


def test_what_pretraining_saw_stands_beside_the_scores_of_each(runs: Path) -> None:
    measured = {"measured": True, "lines": 407, "found": 23, "left": 0, "actions": ["cut"]}
    parts = {
        "quaero_emea": of_subtask(0.6, "aaaa", pretraining_saw={"test": measured}),
        "quaero_medline": of_subtask(0.4, "mmmm", pretraining_saw={"test": {"measured": False}}),
    }
    write_run(runs / "a", ner(0.5), **WHOLE, subtasks=parts, pretraining_saw={"test": {"measured": False}})
    page = page_of(runs)
    cells = {}
    for title in ("EMEA (drug leaflets)", "MEDLINE (titles)", "EMEA and MEDLINE in one training"):
        table = table_under(page, f"{title}: entities, strict")
        cells[title] = table[2][table[0].index("test's text in pretraining")]
    assert list(cells.values()) == [
        "0 of 407 lines (23 cut)",
        "not measured",
        "quaero_emea 0 of 407 lines (23 cut), quaero_medline not measured",
    ]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ([], "subtasks is no mapping"),
        ({"quaero_emea": {"scores": {}}}, "subtasks.quaero_emea: needs scores and data_fingerprint"),
        ({"quaero_emea": of_subtask(float("nan"), "a")}, "subtasks.quaero_emea.scores.dev.strict: precision"),
    ],
)
def test_a_run_with_broken_results_of_a_subtask_is_listed_with_the_reason(
    runs: Path, broken: Any, reason: str
) -> None:
    write_run(runs / "whole", ner(0.5))
    write_run(runs / "broken", ner(0.9), **WHOLE, subtasks=broken)
    assert re.search(rf"^- `broken`: results.json: .*{re.escape(reason)}", page_of(runs), re.MULTILINE)


def test_a_subtask_without_test_is_left_out_alone(runs: Path) -> None:
    some = subtasks(0.6, 0.4)
    del some["quaero_medline"]["scores"]["test"]
    write_run(runs / "a", ner(0.5), **WHOLE, subtasks=some)
    page = page_of(runs)
    assert "## Left out" not in page
    assert "EMEA (drug leaflets)" in page
    assert "MEDLINE (titles)" not in page
