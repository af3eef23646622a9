"""Pruned models: of the same class, opened strictly, and equal where what went had no part in the logits."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bertinchamps.compressing import steps
from bertinchamps.compressing.importance import importance, loss_of, most_important, pruned, without_layers
from bertinchamps.compressing.layouts import Kept, layout_of, units_of
from bertinchamps.compressing.masked_texts import MaskedTexts
from bertinchamps.compressing.uses import Sample
from bertinchamps.contract import Batch
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.encoders import EncoderSource, open_model, open_tokenizer
from bertinchamps.model.flops import parameter_count
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm
from bertinchamps.model.stock.twins import stock_twin
from support import composed
from tiny_encoders import TEXTS, make_encoder

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
ARCHES = ("crammed", "small", "modern", "bert_base")
FOREIGN = ("bert", "roberta", "camembert", "modernbert")
IDS = torch.arange(5, 29).reshape(2, 12)


def ours(arch: str) -> Any:
    torch.manual_seed(1)
    node = asdict(composed("+budget=24h", f"arch={arch}").arch)
    model = BertinchampsForMaskedLM(build_config(node | SMALL | {"max_positions": 64}, 400, pad_token_id=0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("encoders")
    found = {family: make_encoder(family, folder / family) for family in FOREIGN}
    opened = {
        family: open_model("AutoModelForMaskedLM", EncoderSource(str(place), with_head=True), None).eval()
        for family, place in found.items()
    }
    return {**{arch: ours(arch) for arch in ARCHES}, **opened, "places": found}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


def everything(model: Any, with_heads: bool) -> Kept:
    config = model.config
    units = units_of(config, layout_of(config))
    layers = range(config.num_hidden_layers)
    heads = [range(config.num_attention_heads)] * len(layers) if with_heads else None
    return Kept(layers, [range(units)] * len(layers), heads)


@pytest.mark.parametrize("name", [*ARCHES, *FOREIGN])
def test_a_model_with_nothing_pruned_has_the_same_logits(name: str, models: Any) -> None:
    model = models[name]
    same = pruned(model, everything(model, with_heads=name in ARCHES))
    assert type(same) is type(model)
    assert torch.equal(logits(same), logits(model))


def zero(model: Any, layout: Any, columns: dict[str, list[int]]) -> None:
    """Let some columns of the maps behind heads and units give nothing."""
    for layer in model.base_model.get_submodule(layout.layers):
        for name, places in columns.items():
            layer.get_submodule(name).weight.data[:, places] = 0.0


@pytest.mark.parametrize("name", [*ARCHES, *FOREIGN])
def test_parts_that_gave_nothing_leave_the_logits_and_are_the_ones_that_go(name: str, models: Any) -> None:
    model = pruned(models[name], everything(models[name], with_heads=False))  # a copy
    layout, config = layout_of(model.config), model.config
    size, units = config.hidden_size // config.num_attention_heads, units_of(config, layout)
    gone = [0, 3, units - 1]
    zero(model, layout, {layout.leaves: gone, layout.attended: list(range(size, 2 * size))})
    before = logits(model)
    of_heads, of_units = importance(model, as_sample(model))
    assert all(each[1] == 0 and (each > 0).sum() == config.num_attention_heads - 1 for each in of_heads)
    assert all((each == 0).nonzero().flatten().tolist() == gone for each in of_units)
    kept = most_important(of_units, units - 3)
    assert all(sorted({*range(units)} - {*each}) == gone for each in kept)
    heads = most_important(of_heads, config.num_attention_heads - 1) if layout.heads_shrink else None
    smaller: Any = pruned(model, Kept(range(config.num_hidden_layers), kept, heads))
    torch.testing.assert_close(logits(smaller), before, rtol=0, atol=2e-5)
    assert smaller.config.intermediate_size == (units - 3) * layout.width_counts
    assert all(parameter.grad is None for parameter in model.parameters())


def as_sample(model: Any) -> Sample:
    def loss(given: Any, batch: Any) -> torch.Tensor:
        found = given(**batch.inputs).logits.flatten(0, 1)
        return torch.nn.functional.cross_entropy(found, batch.inputs["input_ids"].flatten(), reduction="sum")

    return [Batch({"input_ids": IDS}, IDS.numel(), IDS.numel(), 0)], loss


def test_importance_is_the_slope_of_the_loss_in_a_gate(models: Any) -> None:
    model: Any = pruned(models["crammed"], everything(models["crammed"], with_heads=False)).double()
    batches, loss = as_sample(model)
    row = [replace(batches[0], inputs={"input_ids": IDS[:1]})]
    of_heads, of_units = importance(model, (row, loss))
    step, layer = 1e-4, model.base_model.layers[1]
    for weight, places, found in (
        (layer.attention.output.weight.data, slice(8, 16), of_heads[1][1]),
        (layer.feed_forward.output.weight.data, slice(5, 6), of_units[1][5]),
    ):
        whole, changed = weight.clone(), []
        for factor in (1 + step, 1 - step):
            weight.copy_(whole)
            weight[:, places] *= factor
            with torch.no_grad():
                changed.append(float(loss(model, row[0])))
        weight.copy_(whole)
        assert abs(changed[0] - changed[1]) / (2 * step) == pytest.approx(float(found), rel=1e-3)


@pytest.mark.parametrize("name", ["crammed", "modern", "bert", "modernbert"])
def test_a_layer_that_gives_nothing_is_the_one_that_goes(name: str, models: Any) -> None:
    model = pruned(models[name], everything(models[name], with_heads=False))
    layout = layout_of(model.config)
    layer = list(model.base_model.get_submodule(layout.layers))[1]
    for part in (layout.attended, layout.leaves):
        layer.get_submodule(part).weight.data.zero_()
        if (bias := layer.get_submodule(part).bias) is not None:
            bias.data.zero_()
    before = logits(model)

    def distance(given: Any, batch: Batch) -> torch.Tensor:
        return (given(**batch.inputs).logits - before).square().sum()

    sample = as_sample(model)[0], distance
    kept, dropped = without_layers(model, sample, 1)
    assert len(kept) == model.config.num_hidden_layers - 1
    if name != "bert":  # behind whose residual sums there are norms
        assert 1 not in kept
        torch.testing.assert_close(logits(pruned(model, Kept(kept))), before, rtol=0, atol=2e-5)
    assert dropped[0]["loss"] == pytest.approx(loss_of(pruned(model, Kept(kept)), sample))


def test_the_first_layer_stays_where_it_is_another_one(models: Any) -> None:
    for name in ("modern", "modernbert"):
        model = models[name]
        kept, _ = without_layers(model, as_sample(model), model.config.num_hidden_layers - 1)
        assert kept == [0]


@pytest.mark.parametrize("arch", ARCHES)
def test_a_pruned_model_is_opened_strictly_by_the_same_class(arch: str, models: Any, tmp_path: Path) -> None:
    smaller: Any = pruned(models[arch], Kept([0, 2], [[0, 1, 5, 7]] * 2, [[0, 3], [1, 2]]))
    smaller.save_pretrained(tmp_path)
    opened = load_masked_lm(tmp_path).eval()
    assert torch.equal(logits(opened), logits(smaller))
    sizes = (opened.config.num_hidden_layers, opened.config.num_attention_heads, opened.config.head_size)
    assert sizes == (2, 2, 8)
    assert sum(parameter.numel() for parameter in opened.parameters()) == parameter_count(opened.config)


def test_layers_that_are_left_read_as_far_as_before(tmp_path: Path) -> None:
    torch.manual_seed(1)
    node = asdict(composed("+budget=24h", "arch=long").arch) | SMALL | {"num_hidden_layers": 6}
    model: Any = BertinchampsForMaskedLM(build_config(node | {"local_window": 4}, 400, pad_token_id=0)).eval()
    for layer in (1, 2):
        for name in ("attention.output", "feed_forward.output"):  # layers that give nothing
            model.base_model.layers[layer].get_submodule(name).weight.data.zero_()
    smaller: Any = pruned(model, Kept([0, 3, 4, 5]))
    torch.testing.assert_close(logits(smaller), logits(model), rtol=0, atol=2e-5)
    again: Any = pruned(smaller, Kept([0, 1, 3]))
    assert again.config.global_layers == [0, 1]
    smaller.save_pretrained(tmp_path)
    assert torch.equal(logits(load_masked_lm(tmp_path).eval()), logits(smaller))
    torch.testing.assert_close(logits(stock_twin(smaller)), logits(smaller), rtol=0, atol=2e-5)


def test_a_modern_model_stays_a_modernbert_unless_heads_go(models: Any) -> None:
    narrow: Any = pruned(models["modern"], Kept([0, 1], [[0, 1, 5, 7]] * 2))
    twin: Any = stock_twin(narrow)
    assert type(twin).__name__ == "ModernBertForMaskedLM"
    torch.testing.assert_close(logits(twin), logits(narrow), rtol=0, atol=1e-5)
    fewer: Any = pruned(models["modern"], Kept([0, 1], None, [[0, 1]] * 2))
    with pytest.raises(UserError, match="heads were pruned"):
        stock_twin(fewer)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "prune removes nothing"),
        ({"heads": 1.0}, "steps.heads=1.0: a share that is removed, from 0 to less than 1"),
        ({"feed_forward": -0.1}, "steps.feed_forward=-0.1: a share"),
        ({"layers": -1}, "steps.layers=-1"),
        ({"layers": 1, "examples": 0}, "steps.examples=0: must be at least 1"),
        ({"hedas": 0.5}, "did you mean 'heads'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: Any, told: str) -> None:
    found = steps.problems("prune", settings)
    assert len(found) == 1
    assert told in found[0]


def test_masks_are_the_same_for_each_model_and_every_text_has_one(models: Any) -> None:
    tokenizer = open_tokenizer(str(models["places"]["bert"]))
    batches = [MaskedTexts(tokenizer, TEXTS, 4, seed=3).batches("train", 8) for _ in range(2)]
    for first, second in zip(*batches, strict=True):
        assert torch.equal(first.inputs["input_ids"], second.inputs["input_ids"])
        masked = first.inputs["labels"] != -100
        assert masked.any(1).all()
        assert int(masked.sum()) == first.targets
        assert (first.inputs["input_ids"][masked] == tokenizer.mask_token_id).all()
    with pytest.raises(UserError, match="judged by two at least"):
        MaskedTexts(tokenizer, TEXTS[:1], 4, seed=0)
