"""The benchmarks run; what they measure is for a quiet machine, so no time is looked at here."""

from __future__ import annotations

import importlib
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import __main__ as all_benchmarks
from benchmarks import (
    objectives,
    pretraining,
    pretraining_problem,
    pretraining_rows,
    results,
    rows,
    sparsity,
    startup,
    whole_run,
    whole_run_parts,
)
from bertinchamps.errors import UserError
from support import QUICK, ROOT, command
from tiny_corpora import brat_corpus
from tiny_encoders import make_encoder

TINY = ["--epochs=1", "--repeats=1", "--threads=1", "--padding=48"]
ROW = {
    "engine", "padding", "precision", "seconds", "examples_per_second", "repeats", "examples", "updates",
    "mean_training_loss", "ratio", "flops",
}  # fmt: skip


def result_of(*words: str, folder: Path) -> dict[str, Any]:
    output, figure = folder / "benchmark.json", folder / "benchmark.png"
    files = [f"--output={output}", f"--figure={figure}"]
    ran = command("benchmarks.finetuning", *TINY, *files, *words, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| bertinchamps |" in ran.stdout
    assert figure.stat().st_size > 1000
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
        words = [f"--model={encoder}", *brat_corpus(tmp_path / "corpus"), "recipe=entities_paper"]
    result = result_of(*words, folder=tmp_path)
    assert set(result) == {
        "benchmark", "date", "command", "versions", "hardware", "threads", "product_flops", "peak_flops", "task",
        "model", "settings", "rows", "fastest",
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
        needed = row["flops"] / row["examples_per_second"]  # by an example, whoever trains on it
        assert needed == pytest.approx(ours["flops"] / ours["examples_per_second"])
        assert 0 < row["flops"] < 100 * result["product_flops"]
        assert result["task"]["windows"] <= row["examples"] < result["task"]["windows"] + 8
    assert [best["padding"] for best in result["fastest"]] == ["48", "longest"]


@pytest.mark.parametrize(
    "setting", ["head=nested", "budget.steps=5", "optim=muon", "batch.ramp=0.5", "mask_rate=0.1"]
)
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
    output, figure = tmp_path / "pretraining.json", tmp_path / "pretraining.png"
    ran = command("benchmarks.pretraining", *words, f"--output={output}", f"--figure={figure}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert figure.stat().st_size > 1000
    assert "| bertinchamps | fp32 | off |" in ran.stdout
    result = json.loads(output.read_text(encoding="utf-8"))
    assert [row["engine"] for row in result["rows"]] == [
        "bertinchamps", "bert", "modernbert", "trainer:bert", "trainer:modernbert",
    ]  # fmt: skip
    for row in result["rows"]:
        assert "problem" not in row, row
        assert row["tokens_per_second"] > 0
        assert row["memory_megabytes"] > 50
        assert 0 < row["flops"] < 100 * row["product_flops"]
    ours = result["rows"][0]
    assert ours["ratio"] == 1.0


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_the_flops_of_a_peer_are_those_that_torch_counts(family: str) -> None:
    arguments = pretraining.parser().parse_args(
        ["--arch=tiny", "--micro-batch=4", "--sequence-length=32", "--vocabulary=300", "--mask-rate=0.25"]
    )
    config = pretraining_problem.composed(arguments, ["budget.steps=1"])
    model = pretraining_rows.peer(family, config)
    model.set_attn_implementation("eager")  # the kernels that take its place have no formula in torch
    ids = torch.randint(5, 300, (4, 32))
    labels = torch.full_like(ids, -100)
    labels[:, :8] = 7
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=labels).loss.backward()
    assert counter.get_total_flops() / ids.numel() == pytest.approx(
        pretraining_rows.peer_flops(model, config),
        rel=1e-3,  # ModernBERT multiplies angles, too
    )


def test_a_row_that_fails_is_told_and_the_others_are_measured(tmp_path: Path) -> None:
    words = ["--arch=tiny", "--micro-batch=4", "--sequence-length=32", "--vocabulary=300", "--updates=1"]
    words += ["--warmup=1", "--repeats=1", "--precisions", "fp32", "--compile", "off", "--mask-rate=2"]
    words += ["--engines", "bert"]
    ran = command("benchmarks.pretraining", *words, f"--output={tmp_path / 'p.json'}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| bert | fp32 | off | failed: " in ran.stdout


def test_settings_reach_our_rows_and_overrule_the_options() -> None:
    words = [
        "runtime.activation_checkpointing=true",
        "arch.num_hidden_layers=3",
        "--arch=tiny",
        "--threads=1",
    ]
    config = pretraining_problem.composed(pretraining.parser().parse_intermixed_args(words), [])
    assert config.runtime.activation_checkpointing
    assert (config.arch.num_hidden_layers, config.arch.hidden_size, config.runtime.threads) == (3, 64, 1)
    with pytest.raises(UserError, match="activation_checkpoint"):
        pretraining_problem.composed(
            pretraining.parser().parse_args(["runtime.activation_checkpoint=true"]), []
        )


@pytest.mark.long
def test_a_start_is_timed_to_help_and_to_the_first_update(tmp_path: Path) -> None:
    output, figure = tmp_path / "startup.json", tmp_path / "startup.png"
    words = ["--repeats=1", "--commands", "prepare", "--compile", "off", "--arch=tiny", "--micro-batch=4"]
    ran = command(
        "benchmarks.startup",
        *words,
        "--sequence-length=32",
        f"--output={output}",
        f"--figure={figure}",
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr
    assert "| bertinchamps.prepare --help |" in ran.stdout
    assert figure.stat().st_size > 1000
    result = json.loads(output.read_text(encoding="utf-8"))
    assert [row["command"] for row in result["help"]] == [*startup.YARDSTICKS, "bertinchamps.prepare --help"]
    assert all(row["seconds"] > 0 and len(row["repeats"]) == 1 for row in result["help"])
    (update,) = result["first_update"]
    assert (update["compile"], update["cache"]) == ("off", "none")
    assert 0 < update["to_first_batch"] < update["seconds"]


def test_a_start_that_fails_is_a_row_that_says_why(tmp_path: Path) -> None:
    told = startup._first_update(
        ["data=demo", "budget.steps=1", "arch.hidden_size=-1"], "off", tmp_path, "run"
    )
    assert isinstance(told, str)
    assert "hidden_size" in told
    row = startup._summary("off", "none", [told])
    assert "failed: " in startup.table({"help": [], "first_update": [row]})


def test_a_line_that_is_half_written_is_no_update_yet(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    assert startup._update_of(metrics) is None
    metrics.write_text('{"kind": "held_out", "step": 0}\n{"kind": "train", "st', encoding="utf-8")
    assert startup._update_of(metrics) is None
    metrics.write_text('{"kind": "held_out"}\n{"kind": "train", "seconds": 2.5}\n', encoding="utf-8")
    assert startup._update_of(metrics) == {"kind": "train", "seconds": 2.5}


def test_every_moment_of_a_run_is_charged_to_a_part(tmp_path: Path) -> None:
    output, figure = tmp_path / "run.json", tmp_path / "run.png"
    words = ["--arch=tiny", "--micro-batch=4", "--accumulate=2", "--sequence-length=32", "--vocabulary=300"]
    words += ["--updates=4", "--threads=1", "--compile=off", "--precision=fp32", "evaluation.blocks=8"]
    ran = command("benchmarks.whole_run", *words, f"--output={output}", f"--figure={figure}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "**not the model**" in ran.stdout
    assert figure.stat().st_size > 1000
    result = json.loads(output.read_text(encoding="utf-8"))
    assert result["sum_of_the_parts"] == pytest.approx(result["wall_seconds_of_the_parts"], rel=0.01)
    parts = {row["part"]: row for row in result["rows"]}
    assert list(parts) == list(whole_run_parts.PARTS)
    for part in set(parts) - {
        whole_run_parts.FIRST
    }:  # which is below zero where the first update was the fastest
        assert parts[part]["seconds"] > 0, part
    for share in ("share", "long_run_share"):
        assert sum(row[share] for row in result["rows"]) == pytest.approx(1)
    assert result["rates"]["median update"]["tokens_per_second"] > 0
    assert result["rates"]["whole run"]["mfu"] > 0
    assert result["memory_megabytes"] > 50


def test_the_parts_of_a_long_run_are_put_together_from_those_of_a_short_one() -> None:
    update = {whole_run_parts.FORWARD: 1.0, whole_run_parts.BACKWARD: 2.0, whole_run_parts.WAITING: 1.0}
    seconds = {whole_run_parts.FORWARD: 8.0, whole_run_parts.BACKWARD: 6.0, whole_run_parts.WAITING: 3.0}
    seconds |= {
        whole_run_parts.EVALUATION: 10.0,
        whole_run_parts.CHECKPOINTS: 6.0,
        whole_run_parts.BUILDING: 4.0,
    }
    measured = {
        "updates": [{**update, whole_run_parts.FORWARD: 6.0}, update, update],
        "seconds": seconds,
        "evaluations": 5,
        "checkpoints": 3,
    }
    rows = {row["part"]: row for row in whole_run.rows(measured, long_run=3600)}
    assert rows[whole_run_parts.FIRST]["seconds"] == 5  # compiling
    assert rows[whole_run_parts.FORWARD]["seconds"] == 3
    assert rows[whole_run_parts.FORWARD]["median_update_seconds"] == 1
    once = {part: 3600 * rows[part]["long_run_share"] for part in rows}
    assert once[whole_run_parts.EVALUATION] == pytest.approx(21 * 2)  # each 5 %, and before the first update
    assert once[whole_run_parts.CHECKPOINTS] == pytest.approx(5 * 2)  # each 15 minutes, and the model
    assert once[whole_run_parts.BACKWARD] == pytest.approx((3600 - 42 - 10 - 5 - 4) / 2)


def test_all_benchmarks_go_on_one_page_and_one_that_fails_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = all_benchmarks.Job("broken", "preparation", ("--sizes", "no number"))
    whole = next(job for job in all_benchmarks.QUICK if job.benchmark == "preparation")
    monkeypatch.setattr(all_benchmarks, "QUICK", (broken, whole))
    monkeypatch.setattr("sys.argv", ["benchmarks", "all", "--quick", f"--folder={tmp_path / 'results'}"])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="1"):
        all_benchmarks.main()
    page = (tmp_path / "results" / "README.md").read_text(encoding="utf-8")
    assert page in capsys.readouterr().out
    assert "Failed:" in page
    assert "invalid float value: 'no number'" in page
    assert "| bertinchamps | 0.05 |" in page
    assert "![preparation](preparation.png)" in page
    assert str(tmp_path) not in page
    assert {"README.md", "preparation.json", "preparation.png"} <= {
        file.name for file in (tmp_path / "results").iterdir()
    }


def test_versions_are_told_of_packages_that_are_not_installed() -> None:
    assert results.versions(("no-such-package",))["no-such-package"] == "not installed"


def test_the_jobs_of_every_machine_have_command_lines_that_are_understood() -> None:
    parsers: dict[str, Any] = {
        name: importlib.import_module(f"benchmarks.{name}").parser()
        for name in all_benchmarks.BENCHMARKS
        if all_benchmarks._exists(name)
    }
    jobs = (*all_benchmarks.ON_A_GPU, *all_benchmarks.ON_A_PROCESSOR, *all_benchmarks.QUICK)
    for job in jobs:
        if job.benchmark in parsers:
            arguments = parsers[job.benchmark].parse_intermixed_args([*job.words, "--output=a", "--figure=b"])
            assert isinstance(arguments, Namespace)
            if job.benchmark in ("pretraining", "whole_run"):
                pretraining_problem.composed(arguments, [])
    everything = set(all_benchmarks.BENCHMARKS)
    for jobs, wanted in (
        (all_benchmarks.ON_A_GPU, everything),
        (all_benchmarks.ON_A_PROCESSOR, everything - {"device"}),
        (all_benchmarks.QUICK, everything),
    ):
        assert len({job.file for job in jobs}) == len(jobs)
        assert {job.benchmark for job in jobs} == wanted


def test_benchmarks_are_listed() -> None:
    ran = command("benchmarks", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "python -m benchmarks.startup" in ran.stdout
    refused = command("benchmarks", "all", cwd=ROOT)
    assert refused.returncode == 2
    assert "--folder" in refused.stderr


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
        assert 0 < row["flops"] < 100 * row["product_flops"]
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


@pytest.mark.parametrize(("name", "variants"), [("sparsity", sparsity.VARIANTS), ("rows", rows.VARIANTS)])
def test_variants_of_an_update_are_timed_by_turns(name: str, variants: dict[str, Any]) -> None:
    shape = ["--arch=tiny", "--micro-batch=4", "--sequence-length=16", "--vocabulary=128", "--threads=1"]
    ran = command(f"benchmarks.{name}", "runtime=eager", *shape, "--updates=1", "--turns=1", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    for variant in variants:
        assert f"| {variant} |" in ran.stdout
    if name == "sparsity":
        assert "2:4 products are not timed" in ran.stdout or "| matrix |" in ran.stdout


def test_objectives_are_compared_at_equal_wall_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [word for word in QUICK if not word.startswith(("data=", "arch="))]
    words = ["--objectives", "mlm", "rtd", "--minutes=0.02", "--seeds", "3", "--arch=tiny"]
    tuning = [
        "--finetune",
        "task=demo",
        "task.documents=20",
        "budget.epochs=0.1",
        "max_length=48",
        "runtime=eager",
    ]
    files = [f"--output={tmp_path / 'rows.json'}", f"--folder={tmp_path / 'runs'}"]
    monkeypatch.setattr(sys, "argv", ["objectives", *settings, *words, *files, *tuning])
    monkeypatch.setattr(
        objectives.subprocess, "run", lambda line, **given: command(*line[2:], cwd=tmp_path)
    )  # a fork, not a new Python
    assert objectives.main() == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [(row["objective"], row["seed"]) for row in rows] == [("mlm", 3), ("rtd", 3)]
    loss, none = (row["loss"] for row in rows)
    assert loss == pytest.approx(6, abs=1)
    assert none is None
    _, _, of_mlm, of_rtd, _ = capsys.readouterr().out.splitlines()
    assert of_mlm.startswith(f"| mlm | {loss:.3f} | {rows[0]['score']:.4f} | ")
    assert of_rtd.startswith("| rtd | – | ")
    assert objectives.spread([2.0, None, 4.0], 2) == "3.00 ± 1.41"
