"""Sparse models that are trained further: their zeros stay, in every checkpoint, and are counted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_continuing import found, stopped_and_resumed, summary_of, went_on
from torch import Tensor

from bertinchamps.checks.pretraining import problems
from bertinchamps.compressing.importance import pruned
from bertinchamps.compressing.layouts import Kept
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.flops import masked_lm_flops_per_token, masked_lm_matrix_flops_per_token
from bertinchamps.model.heads.stock_masked_lm import AtMaskedPositions
from bertinchamps.training.depths import depths_of
from bertinchamps.training.sparsity.masks import read_facts
from bertinchamps.training.sparsity.matrices import matrices_of
from families import make_masked_lm
from support import composed, losses

KEEP = "sparsity=keep"


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def opened(folder: Path) -> AtMaskedPositions:
    source = EncoderSource(str(folder), with_head=True)
    return AtMaskedPositions(open_model("AutoModelForMaskedLM", source, None))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock model; half of the weights in its layers are zero."""
    base = make_masked_lm("bert", tmp_path_factory.mktemp("base") / "bert")
    state = weights(base)
    generator = torch.Generator().manual_seed(0)
    for name, weight in state.items():
        if ".layer." in name and weight.ndim == 2:
            weight[torch.rand(weight.shape, generator=generator) < 0.5] = 0.0
    save_file(state, base / "model.safetensors", metadata={"format": "pt"})
    return base


def zeros_of(folder: Path) -> dict[str, Tensor]:
    """Where the matrices of the layers are zero."""
    matrices = {name: each for name, each in weights(folder).items() if ".layer" in name and each.ndim == 2}
    return {name: matrix == 0 for name, matrix in matrices.items()}


@pytest.mark.parametrize("optimizer", ["adamw_continued", "muon"])
def test_a_sparse_run_goes_on_with_its_zeros_bit_for_bit_after_a_stop(
    quick_run: Callable[..., Path], tmp_path: Path, optimizer: str
) -> None:
    first = quick_run("budget.steps=3", "report.html=false", "sparsity=static", "sparsity.level=0.75")
    words = ["data.documents=80", KEEP, f"optim={optimizer}", "budget.steps=6"]
    whole = went_on(first, tmp_path / "whole", *words)
    copy = shutil.copytree(first, tmp_path / "first")
    halves = stopped_and_resumed(copy, tmp_path / "halves", words, gone=True)
    assert losses(halves) == losses(whole)
    before, after, again = (weights(run / "model") for run in (first, whole, halves))
    assert all(torch.equal(after[name], again[name]) for name in after)
    for name, zero in zeros_of(first / "model").items():
        assert torch.equal(after[name] == 0, zero)
        assert not torch.equal(after[name], before[name])
    facts, summary = read_facts(whole / "model"), summary_of(whole)
    assert facts == summary["sparsity"]
    assert facts is not None
    assert (facts["sparsity"], facts["zeros"]) == ({"name": "keep"}, pytest.approx(0.75, abs=1e-3))
    assert summary["spent"]["flops"] < summary["spent"]["flops_dense"]
    dense = went_on(first, tmp_path / "dense", "data.documents=80", "budget.steps=1")
    assert read_facts(dense / "model") is None  # the zeros fill up


def facts_of_kept_zeros(base: Path, run: Path) -> dict[str, Any]:
    """What sparsity.json says of a run, in whose model the zeros are where they are in its base."""
    kept = zeros_of(base)
    assert all(torch.equal(zero, kept[name]) for name, zero in zeros_of(run / "model").items())
    facts = read_facts(run / "model")
    assert facts is not None
    return facts


def test_frozen_layers_keep_their_zeros_and_are_counted(bert: Path, tmp_path: Path) -> None:
    run = went_on(bert, tmp_path / "run", KEEP, "freeze.layers=1", "budget.steps=2")
    facts = facts_of_kept_zeros(bert, run)
    matrices = matrices_of(opened(bert), frozen=True)
    assert facts["weights"] == sum(weight.numel() for weight in matrices.values())
    assert facts["zeros"] == pytest.approx(0.5, abs=0.02)
    spent = summary_of(run)["spent"]
    assert 0.5 < spent["flops"] / spent["flops_dense"] < 0.8


def test_factors_that_are_merged_leave_zeros(bert: Path, tmp_path: Path) -> None:
    run = went_on(bert, tmp_path / "run", KEEP, "adapter=ia3", "budget.steps=2")
    facts = facts_of_kept_zeros(bert, run)
    assert facts["zeros"] == pytest.approx(0.5, abs=0.02)


def test_operations_of_a_map_are_those_of_its_passes(bert: Path, quick_run: Callable[..., Path]) -> None:
    model = opened(bert)
    maps = matrices_of(model)
    parts = masked_lm_matrix_flops_per_token(model, 32, 5)
    assert all(parts[name] == 3 * 2 * weight.numel() for name, weight in maps.items())
    depths = depths_of(model)
    for parameter in model.parameters():
        parameter.requires_grad_(depths[id(parameter)] > 1)
    parts = masked_lm_matrix_flops_per_token(model, 32, 5)
    for name, weight in maps.items():
        passes = 3
        if ".layer.0." in name:
            passes = 1  # forward alone
        elif name.endswith(("query", "key", "value")):
            passes = 2  # nothing below them is trained
        assert parts[name] == passes * 2 * weight.numel()
    assert sum(parts.values()) < masked_lm_flops_per_token(model, 32, 5)
    ours = opened(quick_run("budget.steps=1", "report.html=false") / "model")
    for by_formula in (ours, AtMaskedPositions(pruned(ours.model, Kept([0, 1], None, [[0], [1]])))):
        of_all = masked_lm_matrix_flops_per_token(by_formula, 32, 8)
        assert matrices_of(by_formula).keys() == of_all.keys()
        by_formula.model.encoder.final_norm.requires_grad_(
            False
        )  # not all of it is trained: a row is counted
        counted = masked_lm_matrix_flops_per_token(by_formula, 32, 8)
        assert {name: counted[name] for name in of_all} == pytest.approx(of_all)


def test_what_has_no_zeros_to_keep_is_told_before_any_work(bert: Path, tmp_path: Path) -> None:
    dense = make_masked_lm("bert", tmp_path / "dense")
    assert "sparsity=keep: no weight in the layers of this model is zero" in found(dense, KEEP)
    assert "merging fills their zeros" in found(bert, KEEP, "adapter=lora")
    assert "keep its zeros (sparsity=keep)" in found(bert, "sparsity=gradual")
    assert found(bert, KEEP) == ""
    (tmp_path / "nothing").mkdir()
    assert "no model there" in found(tmp_path / "nothing", KEEP)


def test_a_new_model_has_no_zeros_to_keep() -> None:
    told = problems(composed("data=demo", "budget.steps=1", KEEP))
    assert told == [
        "sparsity=keep: of a model that is trained further; name it with model=, or leave this out"
    ]
