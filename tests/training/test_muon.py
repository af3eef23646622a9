"""Muon: torch's steps, in a type that the device multiplies fast, and left out where that is said on the device."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import transformers
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.training import muon
from bertinchamps.training.muon import Muon, orthogonalised
from bertinchamps.training.optim import CombinedOptimizer, optimizers
from tiny_encoders import SIZES

SHAPES = [(12, 8), (8, 8), (12, 8), (4, 16), (4, 16)]
SETTINGS = {"lr": 0.006, "momentum": 0.95, "weight_decay": 0.1}


def matrices() -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def draw_gradients(*optimizers_: torch.optim.Optimizer) -> None:
    """The same for each."""
    for optimizer in optimizers_:
        torch.manual_seed(1)
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad = torch.randn_like(parameter)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon of its own")
def test_steps_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "product_dtype", lambda device: torch.bfloat16)  # which torch's always takes
    ours = Muon(matrices(), **SETTINGS)
    theirs = torch.optim.Muon(matrices(), **SETTINGS, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        draw_gradients(ours, theirs)
        ours.step()
        theirs.step()
    for mine, other, start in zip(
        *(o.param_groups[0]["params"] for o in (ours, theirs)), matrices(), strict=True
    ):
        assert (mine - other).norm() < 0.02 * (other - start).norm()  # bfloat16 has three digits


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon of its own")
def test_a_run_that_began_with_torchs_muon_goes_on() -> None:
    theirs = torch.optim.Muon(matrices(), **SETTINGS, adjust_lr_fn="match_rms_adamw")
    draw_gradients(theirs)
    theirs.step()
    ours = Muon(matrices(), **SETTINGS)
    ours.load_state_dict(theirs.state_dict())
    draw_gradients(ours)
    ours.step()
    assert ours.param_groups[0]["momentum"] == 0.95


def test_the_products_are_in_float32_where_bfloat16_is_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated, a step of a small model takes seconds."""
    for fast, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        monkeypatch.setattr(muon, "has_fast_bf16", lambda device, fast=fast: fast)
        assert orthogonalised(torch.randn(2, 6, 3)).dtype is dtype


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 32, 8), (1, 8, 32)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)).float())
    assert values.min() > 0.3
    assert values.max() < 1.4


def test_wide_matrices_come_to_what_the_polynomial_makes_of_their_singular_values() -> None:
    """In float32 the iterations of wide matrices are square; directions that are all but gone stay right."""
    torch.manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(8, size, dtype=torch.float64).mT)[0] for size in (8, 32))
    values = torch.logspace(0, -3, 8, dtype=torch.float64)
    values /= values.norm()
    found = orthogonalised((left @ torch.diag(values) @ right.mT).float()[None])[0]
    a, b, c = muon.COEFFICIENTS
    for _ in range(muon.ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    assert torch.allclose(found.double(), left @ torch.diag(values) @ right.mT, atol=2e-3)


@pytest.mark.parametrize("gradient", [math.nan, math.inf, 1.0])
def test_a_step_that_is_left_out_changes_neither_weights_nor_momentum(gradient: float) -> None:
    optimizer = Muon(matrices(), **SETTINGS)
    draw_gradients(optimizer)
    optimizer.step()
    before = copy.deepcopy((optimizer.param_groups[0]["params"], optimizer.state_dict()))
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.found_inf = torch.tensor(1.0)  # type: ignore[attr-defined]
    optimizer.step()
    after = (optimizer.param_groups[0]["params"], optimizer.state_dict())
    for mine, old in zip(after[0], before[0], strict=True):
        assert torch.equal(mine, old)
    for index, state in after[1]["state"].items():
        assert torch.equal(state["momentum_buffer"], before[1]["state"][index]["momentum_buffer"])


def test_a_step_that_is_not_left_out_is_the_plain_one() -> None:
    plain, guarded = Muon(matrices(), **SETTINGS), Muon(matrices(), **SETTINGS)
    guarded.found_inf = torch.tensor(0.0)  # type: ignore[attr-defined]
    draw_gradients(plain, guarded)
    plain.step()
    guarded.step()
    for mine, other in zip(*(o.param_groups[0]["params"] for o in (plain, guarded)), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    "config",
    [
        transformers.BertConfig(**SIZES, vocab_size=50),
        transformers.CamembertConfig(**SIZES, vocab_size=50),
        transformers.ModernBertConfig(**SIZES, vocab_size=50, pad_token_id=0),
        transformers.DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, vocab_size=50),
    ],
    ids=lambda config: config.model_type,
)
def test_the_matrices_of_any_encoders_layers_are_found(config: transformers.PretrainedConfig) -> None:
    """They are called `.layer.` in BERT and `.layers.` in ModernBERT."""
    model = transformers.AutoModel.from_config(config)
    optimizer = optimizers.build("muon", model=model)
    assert isinstance(optimizer, CombinedOptimizer)
    matrix_part, rest = (part.param_groups for part in optimizer.parts)
    layers = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layer" in f".{name}"]
    assert len(layers) >= 8
    assert {id(p) for p in matrix_part[0]["params"]} == {id(p) for p in layers}
    everything = [p for group in (*matrix_part, *rest) for p in group["params"]]
    assert len(everything) == len(list(model.parameters()))


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(UserError, match="optim=muon: Linear has no linear maps"):
        optimizers.build("muon", model=nn.Linear(3, 3))
