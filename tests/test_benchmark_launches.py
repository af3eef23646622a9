"""The estimate of what bounds an update: its counts, its arithmetic, its command."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import launches
from benchmarks.launch_counts import CHUNK, MOST_BLOCKS, Launches, multi_tensor_launches
from support import ROOT, command

ASSUMED = Namespace(
    sequence_length=100,
    eager_microseconds=10.0,
    compiled_microseconds=2.0,
    product_tflops=500.0,
    peak_tflops=1000.0,
    memory_terabytes=2.0,
)


@pytest.mark.parametrize(
    ("sizes", "lists", "needed"),
    [
        ([1] * 110, 1, 1),
        ([1] * 111, 1, 2),
        ([1] * 36, 4, 1),
        ([1] * 37, 4, 2),
        ([CHUNK * MOST_BLOCKS], 4, 1),
        ([CHUNK * MOST_BLOCKS + 1], 4, 2),
        ([CHUNK * MOST_BLOCKS * 2, 1], 4, 3),
        ([], 1, 0),
    ],
)
def test_lists_of_tensors_need_as_many_launches_as_cudas_limits_make(
    sizes: list[int], lists: int, needed: int
) -> None:
    assert multi_tensor_launches(sizes, lists) == needed


def test_views_and_unfilled_memory_launch_nothing_and_products_move_no_counted_bytes() -> None:
    x = torch.ones(4, 6)
    with Launches() as mode:
        x.view(6, 4).t()[0].unsqueeze(0)
        torch.empty(3)
        x.split(2)
    assert mode.counted.launches == 0
    with Launches() as mode:
        x + 1  # reads and writes 24 numbers of 4 bytes
        x.add_(1)
        x @ x.view(6, 4)
    assert (mode.counted.launches, mode.counted.bytes) == (3, 2 * 2 * 24 * 4)


def test_fused_adamw_over_many_tensors_is_a_few_launches() -> None:
    parameters = [nn.Parameter(torch.ones(8)) for _ in range(40)]
    optimizer = torch.optim.AdamW(parameters, fused=True)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    with Launches() as mode:
        optimizer.step()
    assert 2 <= mode.counted.launches <= 4  # two of AdamW, one or two to count steps
    assert mode.counted.bytes >= 40 * 8 * 7 * 4  # weights and moments read and written, gradients read


def test_what_binds_is_the_larger_of_launching_and_working() -> None:
    model = {
        "eager": {"launches": 900, "bytes": 1e9, "bytes_per_token": 2e6},
        "compiled": {"launches": 400, "bytes": 0.5e9, "bytes_per_token": 1e6},
        "flops_per_token": 1e9,
    }
    step = {"launches": 100, "bytes": 1_500_000_000, "flops": 500_000_000_000}
    few, many = (launches.estimate(model, step, size, ASSUMED) for size in (4, 400))
    assert few["products"] == pytest.approx(1e3 * (400e9 + 500e9) / 500e12)
    assert few["eager"]["launches"] == pytest.approx(10.0)  # ms: 1000 launches of 10 µs
    assert few["compiled"]["launches"] == pytest.approx(0.8 + 1.0)
    assert few["eager"]["memory"] == pytest.approx(1e3 * (2.5e9 + 400 * 2e6) / 2e12)
    assert few["eager"]["binds"] == "launches"
    assert few["eager"]["mfu_at_most"] == pytest.approx(0.4 / 10)  # 0.4 ms at the data sheet's rate, of 10 ms
    assert (many["eager"]["binds"], many["compiled"]["binds"]) == ("products", "products")
    working = many["products"] + many["compiled"]["memory"]
    assert many["compiled"]["mfu_at_most"] == pytest.approx(40 / working)


@pytest.mark.long
def test_an_update_is_counted_eager_and_compiled(tmp_path: Path) -> None:
    output, figure = tmp_path / "launches.json", tmp_path / "launches.png"
    words = ["--archs", "tiny", "--micro-batches", "8", "512", "--vocabulary=300"]
    ran = command("benchmarks.launches", *words, f"--output={output}", f"--figure={figure}", cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert "| 512 |" in ran.stdout
    assert figure.stat().st_size > 1000
    result = json.loads(output.read_text(encoding="utf-8"))
    adamw, muon = result["models"]
    assert (adamw["optimizer"], muon["optimizer"]) == ("adamw", "muon")
    assert adamw["model"] == muon["model"]
    eager, compiled = adamw["model"]["eager"], adamw["model"]["compiled"]
    # Two layers have 8 products and 2 attentions, each forward and twice backward; the head has 3 products more.
    assert 33 < compiled["launches"] < eager["launches"] < 400
    assert 0 < compiled["bytes_per_token"] < eager["bytes_per_token"]
    assert adamw["step"]["launches"] < 40 < muon["step"]["launches"]
    assert adamw["step"]["flops"] == 0 < muon["step"]["flops"]
    assert all(row[way]["binds"] == "launches" for row in adamw["rows"][:1] for way in ("eager", "compiled"))


def test_an_architecture_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    ran = command("benchmarks.launches", "--archs", "huge", f"--output={tmp_path / 'l.json'}", cwd=ROOT)
    assert ran.returncode == 2
    assert "huge" in ran.stderr
    assert "crammed" in ran.stderr
    assert "Traceback" not in ran.stderr
