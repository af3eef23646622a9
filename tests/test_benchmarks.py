"""The benchmarks run; what they measure is for a quiet machine, so no time is looked at here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import ROOT, command
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder

TINY = ["--epochs=1", "--repeats=1", "--threads=1", "--padding=48"]
ROW = {
    "engine", "padding", "precision", "seconds", "examples_per_second", "repeats", "examples", "updates",
    "mean_training_loss", "ratio",
}  # fmt: skip


def result_of(*words: str, folder: Path) -> dict[str, Any]:
    output = folder / "benchmark.json"
    ran = command("benchmarks.finetuning", *TINY, f"--output={output}", *words, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| bertinchamps |" in ran.stdout
    result: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return result


@pytest.mark.parametrize("given", ["nothing", "corpus and model"])
def test_finetuning_is_timed_on_both_sides(given: str, tmp_path: Path) -> None:
    pytest.importorskip(
        "accelerate", reason="transformers.Trainer needs accelerate: pip install -e '.[benchmarks]'"
    )
    words = ["--sentences=20", "arch=tiny", "tokenizer.vocab_size=300"]
    if given != "nothing":
        encoder = make_encoder("camembert", tmp_path / "encoder")
        words = [f"--model={encoder}", *brat_corpus(tmp_path / "corpus")]
    result = result_of(*words, folder=tmp_path)
    assert set(result) == {
        "benchmark", "date", "command", "versions", "hardware", "threads", "task", "model", "settings", "rows",
        "fastest",
    }  # fmt: skip
    assert {"bertinchamps", "torch", "transformers", "accelerate"} < set(result["versions"])
    assert result["threads"] == 1
    ours, *peers = result["rows"]
    assert ours["engine"] == "bertinchamps"
    assert ours["ratio"] == 1.0
    assert {row["padding"] for row in peers} == {"48", "longest"}
    for row in result["rows"]:
        assert set(row) == ROW
        assert len(row["repeats"]) == 1
        assert row["updates"] == ours["updates"]
        assert result["task"]["windows"] <= row["examples"] < result["task"]["windows"] + 8
    assert [best["padding"] for best in result["fastest"]] == ["48", "longest"]


@pytest.mark.parametrize("setting", ["head=nested", "budget.steps=5", "optim=muon", "batch.ramp=0.5"])
def test_settings_with_which_the_sides_would_differ_are_refused(setting: str, tmp_path: Path) -> None:
    ran = command("benchmarks.finetuning", *TINY, f"--output={tmp_path / 'b.json'}", setting, cwd=ROOT)
    assert ran.returncode == 1
    assert setting.split("=")[0].split(".")[0] in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "b.json").exists()


def test_preparation_is_timed_on_both_sides(tmp_path: Path) -> None:
    output, figure = tmp_path / "preparation.json", tmp_path / "memory.png"
    words = [
        "--sizes",
        "0.05",
        "0.1",
        "--repeats=1",
        "--vocab-size=300",
        f"--output={output}",
        f"--figure={figure}",
    ]
    ran = command("benchmarks.preparation", *words, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(output.read_text(encoding="utf-8"))["rows"]
    assert [(row["megabytes"], row["engine"]) for row in rows] == [
        (size, engine) for size in (0.05, 0.1) for engine in ("bertinchamps", "plain script")
    ]
    assert all(row["seconds"] > 0 and row["memory_megabytes"] > 10 for row in rows)
    assert figure.stat().st_size > 1000


def test_pretraining_is_timed_beside_stock_classes(tmp_path: Path) -> None:
    words = ["--arch=tiny", "--micro-batch=4", "--sequence-length=32", "--vocabulary=300", "--updates=2"]
    words += ["--warmup=1", "--repeats=1", "--threads=1", "--precisions", "fp32", "--compile", "off"]
    output = tmp_path / "pretraining.json"
    ran = command("benchmarks.pretraining", *words, f"--output={output}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| bertinchamps | fp32 | off |" in ran.stdout
    result = json.loads(output.read_text(encoding="utf-8"))
    assert [row["engine"] for row in result["rows"]] == [
        "bertinchamps", "bert", "modernbert", "trainer:bert", "trainer:modernbert",
    ]  # fmt: skip
    for row in result["rows"]:
        assert "problem" not in row, row
        assert row["tokens_per_second"] > 0
        assert row["memory_megabytes"] > 50
    ours = result["rows"][0]
    assert ours["ratio"] == 1.0
    assert 0 < ours["flops"] < 100 * ours["product_flops"]


def test_a_row_that_fails_is_told_and_the_others_are_measured(tmp_path: Path) -> None:
    words = ["--arch=tiny", "--micro-batch=4", "--sequence-length=32", "--vocabulary=300", "--updates=1"]
    words += ["--warmup=1", "--repeats=1", "--precisions", "fp32", "--compile", "off", "--mask-rate=2"]
    words += ["--engines", "bert"]
    ran = command("benchmarks.pretraining", *words, f"--output={tmp_path / 'p.json'}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| bert | fp32 | off | failed: " in ran.stdout


def test_prediction_is_timed_beside_the_pipelines(tmp_path: Path) -> None:
    output, figure = tmp_path / "prediction.json", tmp_path / "prediction.png"
    words = ["--arch=tiny", "--sentences=24", "--repeats=1", "--threads=1", "--precisions", "fp32"]
    ran = command("benchmarks.prediction", *words, f"--output={output}", f"--figure={figure}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| entities | bertinchamps | 64, sorted | float32 |" in ran.stdout
    assert figure.stat().st_size > 1000
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["texts"]["read"] == 24
    assert [(row["task"], row["engine"], row["batch"]) for row in result["rows"]] == [
        (task, engine, batch)
        for task in ("entities", "masked words")
        for engine, batch in (("bertinchamps", "64, sorted"), ("pipeline", "1"), ("pipeline", "8"))
    ]
    for row in result["rows"]:
        assert row["texts_per_second"] > 0
        assert 0 <= row["padding"] < 1
        assert len(row["repeats"]) == 1
        # same weights, same texts, same precision; of an untrained model's proposals two may be equally likely
        assert row["agreement"]["words"] >= (1.0 if row["task"] == "entities" else 0.9)
        assert row["agreement"]["scores"] < 1e-5


def test_prediction_reads_texts_of_a_file_and_says_none_of_them(tmp_path: Path) -> None:
    lines = ["Le patient présente une fièvre. Une toux sèche !", "", "...", "fémur " * 200]
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    output = tmp_path / "prediction.json"
    words = ["--arch=tiny", "--repeats=1", "--threads=1", "--precisions", "fp32", "--tasks", "entities"]
    words.append(f"--texts={tmp_path / 'texts.txt'}")
    ran = command("benchmarks.prediction", *words, f"--output={output}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    written = output.read_text(encoding="utf-8")
    result = json.loads(written)
    assert (result["texts"]["read"], result["texts"]["too_long"]) == (2, 1)
    assert result["rows"][0]["agreement"]["words"] == 1.0
    for said in (ran.stdout, ran.stderr, written):
        assert "fièvre" not in said
        assert "fémur" not in said
