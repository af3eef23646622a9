"""Finished runs for the tests of the report, written without training, and the report's page and tables."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertinchamps.report import report
from bertinchamps.schemas import ReportConfig


def entities(f1: float) -> dict[str, Any]:
    whole = {"precision": f1 + 0.01, "recall": f1 - 0.01, "f1": f1, "support": 30}
    types = {"CHEM": {**whole, "support": 10}, "DISO": {**whole, "f1": f1 - 0.1, "support": 20}}
    return {**whole, "types": types}


def tags(f1: float, remark: str = "The protocol of the paper.") -> dict[str, Any]:
    part = {"precision": f1, "recall": f1, "f1": f1, "support": 400}
    return {"accuracy": f1, "macro_f1": f1, "weighted_f1": f1, "labels": {"O": part}, "remark": remark}


def ner(f1: float) -> dict[str, Any]:
    return {"strict": entities(f1), "nested_exact": entities(f1 - 0.05), "paper": tags(f1 + 0.3)}


def write_run(folder: Path, test: Mapping[str, Any], seed: int = 0, **changes: Any) -> Path:
    """A finished fine-tuning run."""
    results = {
        "task": "quaero_emea",
        "kind": "ner",
        "head": "flat",
        "model": "runs/a/model",
        "model_label": "small, 0.7 h",
        "parameters": 11_008_000,
        "seed": seed,
        "command": f"python -m bertinchamps.finetune seed={seed}",
        "versions": {},
        "data_fingerprint": "aaaa",
        "finished": f"2026-11-21T12:00:0{seed}+0000",
        "hardware": "CPU",
        "cost": {
            "seconds": 100.0 + seed,
            "training_seconds": 90.0,
            "epochs": 40.0,
            "steps": 3600,
            "tokens": 812_000,
            "flops": 1e13,
        },
        "selection": {"split": "dev", "metric": "strict_f1", "value": 0.5, "step": 3000},
        "data": {"train": {"documents": 11, "examples": 706}, "test": {"documents": 15}},
        "remarks": [],
        "scores": {"dev": dict(test), "test": dict(test)},
        **changes,
    }
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


def write_pretraining(folder: Path, **changes: Any) -> Path:
    """A finished pretraining run."""
    summary = {
        "held_out": {"loss": 3.18, "accuracy": 0.455, "bits_per_character": 1.147},
        "spent": {"seconds": 600.0, "steps": 1920, "tokens": 7_860_000, "flops": 1e15, "positions": 1},
        "parameters": 11_008_000,
        "device": "CPU, 2 threads",
        "tokens_per_second": 13_132.0,
        **changes,
    }
    config = (
        "arch: {num_hidden_layers: 4, hidden_size: 256}\ntokenizer: {normalizer: french, path: null}\n"
        "objective: {name: mlm}\n"
    )
    run = {"command": "python -m bertinchamps.pretrain", "data_fingerprint": "cccc"}
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    return folder


def page_of(runs: Path) -> str:
    """Write the report beside the runs, and return its page."""
    output = runs.parent / "report"
    report(ReportConfig(runs_dir=str(runs), output=str(output)))
    return (output / "report.md").read_text(encoding="utf-8")


def rows_of(runs: Path, name: str) -> list[dict[str, str]]:
    with (runs.parent / "report" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def table_under(page: str, title: str) -> list[list[str]]:
    """The cells of the table under the heading that contains the title."""
    after = re.split(rf"^### .*{re.escape(title)}.*$", page, flags=re.MULTILINE)[1]
    lines = re.match(r"\s*((?:\|.*\n)+)", after)
    assert lines is not None
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines.group(1).splitlines()
    ]
