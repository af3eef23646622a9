"""Masked language models of transformers at masked positions: logits, gradients, FLOPs, depths, optimizer groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.flops import masked_lm_flops_per_token
from bertinchamps.model.heads.stock_masked_lm import AtMaskedPositions, refuse_other_logits
from bertinchamps.training.depths import depths_of
from bertinchamps.training.optim import optimizers
from families import ALL, make_masked_lm

POSITIONS = torch.tensor([[1, 4, 9], [0, 2, 15]])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    return {family: make_masked_lm(family, folder / family) for family in ALL}


def opened(folder: Path) -> Any:
    return open_model("AutoModelForMaskedLM", EncoderSource(str(folder), dropout=0.0, with_head=True), None)


def some_ids(model: Any) -> torch.Tensor:
    return torch.randint(5, model.config.vocab_size, (2, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ALL)
def test_logits_and_gradients_are_those_of_the_class(folders: dict[str, Path], family: str) -> None:
    model = opened(folders[family])
    masked, ids = AtMaskedPositions(model), some_ids(model)
    refuse_other_logits(masked, "model=x")
    found = masked.masked_logits(ids, POSITIONS)
    whole = model(input_ids=ids).logits  # the hook does nothing in a call from elsewhere
    expected = torch.stack([row[chosen] for row, chosen in zip(whole, POSITIONS, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    labels = ids.gather(1, POSITIONS).flatten()
    for logits in (found, expected):
        model.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), labels).backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        if logits is found:
            own = gradients
    assert own.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(own[name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "camembert", "modernbert"])
def test_it_is_one_graph_for_torch_compile(folders: dict[str, Path], family: str) -> None:
    torch.compiler.reset()
    masked = AtMaskedPositions(opened(folders[family]).eval())
    ids = some_ids(masked.model)

    def loss(model: AtMaskedPositions, ids: torch.Tensor) -> torch.Tensor:
        return model.masked_logits(ids, POSITIONS).logsumexp(-1).sum()

    compiled = torch.compile(loss, backend="eager", fullgraph=True, dynamic=False)
    expected = loss(masked, ids)
    torch.testing.assert_close(compiled(masked, ids), expected)
    compiled(masked, ids).backward()


def test_a_class_whose_head_reads_more_than_single_states_is_refused(folders: dict[str, Path]) -> None:
    masked = AtMaskedPositions(opened(folders["bert"]))
    masked.model.cls.register_forward_pre_hook(lambda part, given: (given[0] + given[0].mean(1, True),))
    with pytest.raises(UserError, match="model=x: BertForMaskedLM does not predict"):
        refuse_other_logits(masked, "model=x")


def test_flops_where_weights_are_frozen_are_counted(folders: dict[str, Path]) -> None:
    model = opened(folders["bert"])
    masked = AtMaskedPositions(model)
    whole = masked_lm_flops_per_token(masked, 32, 5)
    model.cls.predictions.transform.LayerNorm.bias.requires_grad_(False)  # which costs nothing
    assert masked_lm_flops_per_token(masked, 32, 5) == pytest.approx(whole, rel=1e-6)
    size, inner, length = 32, 64, 32
    first = 2 * (4 * size * size + 2 * size * inner) + 4 * length * size  # forward, a token
    depths = depths_of(masked)
    for parameter in masked.parameters():
        parameter.requires_grad_(depths[id(parameter)] > 1)
    embeddings = 2 * 5 / 32 * size * model.config.vocab_size  # the gradient of the tied decoder
    below = 2 * 3 * size * size  # of what queries, keys and values of the second layer read
    assert masked_lm_flops_per_token(masked, 32, 5) == pytest.approx(whole - 2 * first - embeddings - below)


@pytest.mark.parametrize("family", ALL)
def test_depths_and_groups_of_foreign_models(folders: dict[str, Path], family: str) -> None:
    model = opened(folders[family])
    depths = depths_of(model)
    by_name = {name: depths[id(parameter)] for name, parameter in model.named_parameters()}
    base = model.base_model_prefix
    assert {depth for name, depth in by_name.items() if not name.startswith(f"{base}.")} <= {3, 0}
    assert set(by_name.values()) == ({0, 3} if family == "albert" else {0, 1, 2, 3})
    assert by_name[next(name for name in by_name if "embeddings" in name)] == 0
    optimizer = optimizers.build("adamw", model=model, learning_rate=1.0, weight_decay=0.1, layer_decay=0.5)
    rates = {id(p): g["base_lr"] for g in optimizer.param_groups for p in g["params"]}
    assert all(rates[index] == 0.5 ** (3 - depth) for index, depth in depths.items())
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] for p in g["params"]}
    assert decayed == {id(p) for p in model.parameters() if p.ndim >= 2}
    assert optimizer.param_groups[0]["base_lr"] == 1.0


@pytest.mark.parametrize("family", [family for family in ALL if family != "albert"])
def test_muon_trains_matrices_of_the_layers_alone(folders: dict[str, Path], family: str) -> None:
    model = opened(folders[family])
    optimizer = optimizers.build("muon", model=model)
    chosen = {id(p) for p in optimizer.parts[0].param_groups[0]["params"]}
    depths = depths_of(model)
    assert chosen
    assert all(depths[index] in (1, 2) for index in chosen)
    assert {id(p) for p in model.parameters() if depths[id(p)] in (1, 2) and p.ndim == 2} == chosen
