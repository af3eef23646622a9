"""The report's table of what a setting costs beside what it scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from written_runs import ner, page_of, rows_of, write_run

COST = {
    "seconds": 100.0, "training_seconds": 90.0, "epochs": 1.0, "steps": 3, "tokens": 8, "flops": 1e9,
    "peak_memory_bytes": 2**30, "energy_kwh": 0.5, "euro": 0.2, "euro_per_hour": 7.0,
    "predicted_texts": 100, "predicting_seconds": 3.6,
}  # fmt: skip


def run(folder: Path, adapter: str, stored: int, seed: int = 0, **changes: Any) -> None:
    write_run(
        folder, ner(0.5 + 0.1 * seed), seed, settings={"adapter.name": adapter}, cost=COST, parameters=2**20,
        trained_parameters=stored // 4, stored_bytes=stored, **changes,
    )  # fmt: skip


def test_costs_stand_beside_scores(tmp_path: Path) -> None:
    for seed in range(2):
        run(tmp_path / "runs" / f"full{seed}", "none", 2**22, seed)
    run(tmp_path / "runs" / "lora", "lora", 2**20)
    write_run(tmp_path / "runs" / "older", ner(0.4), model_label="older")
    page = page_of(tmp_path / "runs")
    rows = {row["settings_digest"]: row for row in rows_of(tmp_path / "runs", "efficiency")}
    assert len(rows) == 2
    full, lora = sorted(rows.values(), key=lambda row: -float(row["stored_megabytes_of_all"]))
    assert (float(full["stored_megabytes"]), float(full["stored_megabytes_of_all"])) == (4, 400)
    assert (float(lora["stored_megabytes"]), float(lora["stored_megabytes_of_all"])) == (
        4,
        103,
    )  # 3 of the base
    assert float(full["predicting_hours"]) == pytest.approx(10)
    assert float(full["predicting_euro"]) == pytest.approx(70)
    assert float(lora["trained_parameters"]) == 2**18
    assert "strict 55.0 ± 7.1" in page
    assert "MB for 100 tasks" in page


def test_runs_of_earlier_versions_have_no_such_table(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "older", ner(0.4))
    assert "million" not in page_of(tmp_path / "runs")
    assert not (tmp_path / "report" / "efficiency.csv").exists()
