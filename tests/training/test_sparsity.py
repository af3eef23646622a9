"""Weights that are held at zero: where they are, that they stay, what is counted, and that runs resume with them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bertinchamps.checks.pretraining import problems
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import flops_per_token, matrix_flops_per_token
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.training.checkpoint import read_optimizer
from bertinchamps.training.clock import Spent
from bertinchamps.training.optim import optimizers
from bertinchamps.training.runtime import Runtime
from bertinchamps.training.sparsity import sparsities, sparsity_problems
from bertinchamps.training.sparsity.counting import at_density
from bertinchamps.training.sparsity.densities import erdos_renyi, kept_counts
from bertinchamps.training.sparsity.masked_step import MaskedStep
from bertinchamps.training.sparsity.masks import Masks, build_masks, read_facts
from bertinchamps.training.sparsity.matrices import matrices_of
from support import composed, losses, stop
from test_resume import broken_off

ARCHS = ("crammed", "small", "tiny", "modern", "bert_base")
CPU = Runtime(torch.device("cpu"), None, compiled=False)


def tiny_model(**more: Any) -> BertinchampsForMaskedLM:
    torch.manual_seed(0)
    arch = composed("arch=tiny", "+budget=1h").arch
    return BertinchampsForMaskedLM(build_config(vars(arch) | {"dropout": 0.0, **more}, 64))


def masks_of(model: nn.Module, seed: int = 0, **node: Any) -> Masks:
    found = build_masks(node, model, seed)
    assert found is not None
    return found


def zeros_of(weights: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float((weight == 0).float().mean()) for name, weight in weights.items()}


@pytest.mark.parametrize("arch", ARCHS)
def test_the_maps_of_the_layers_are_masked_and_nothing_else(arch: str) -> None:
    small = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    settings = vars(composed(f"arch={arch}", "+budget=1h").arch) | small
    model = BertinchampsForMaskedLM(build_config(settings, 64))
    maps = ("attention.query_key_value", "attention.output", "feed_forward.input", "feed_forward.output")
    assert list(matrices_of(model)) == [f"encoder.layers.{layer}.{name}" for layer in (0, 1) for name in maps]


@pytest.mark.parametrize("level", [0.0, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("distribution", ["uniform", "erdos_renyi"])
def test_static_masks_have_their_level_and_come_from_the_seed(level: float, distribution: str) -> None:
    node = {"name": "static", "level": level, "distribution": distribution}
    model = tiny_model()
    masks = masks_of(model, **node)
    weights = matrices_of(model)
    total = sum(weight.numel() for weight in weights.values())
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    assert zeros == pytest.approx(level * total, abs=len(weights) / 2)  # each matrix is rounded
    assert masks.zeros == pytest.approx(zeros / total)
    for name, share in zeros_of(weights).items():
        assert share == pytest.approx(1 - masks.densities[name])
        assert distribution != "uniform" or share == pytest.approx(level, abs=0.5 / weights[name].numel())
    again, other = tiny_model(), tiny_model()
    masks_of(again, **node), masks_of(other, seed=1, **node)
    assert all(torch.equal(weight, matrices_of(again)[name]) for name, weight in weights.items())
    if level > 0:
        assert not all(torch.equal(weight, matrices_of(other)[name]) for name, weight in weights.items())
    assert model.encoder.embeddings.tokens.weight.all()  # dense, as is the head, which is tied to it


def test_erdos_renyi_densities_by_hand_and_up_to_full_matrices() -> None:
    shapes = {"small": torch.Size((10, 10)), "large": torch.Size((100, 100))}
    found = erdos_renyi(
        shapes, 0.9
    )  # 1,010 of 10,100 stay; 20 : 200 would give the small one 91.8 of its 100
    assert found == {
        "small": pytest.approx(1010 * 20 / 220 / 100),
        "large": pytest.approx(1010 * 200 / 220 / 1e4),
    }
    full = erdos_renyi(shapes, 0.5)  # the small one is full, and the large one takes the rest
    assert full == {"small": 1.0, "large": pytest.approx((5050 - 100) / 1e4)}
    for level in (0.0, 0.3, 0.5, 0.95):
        assert sum(kept_counts(shapes, level, "erdos_renyi").values()) == pytest.approx(
            (1 - level) * 10100, abs=1
        )


def test_the_cubic_schedule_has_the_values_of_its_formula() -> None:
    variant: Any = sparsities.build("gradual", level=0.8, begin=0.25, end=0.75, prunings=4)
    stages = [variant.stage_at(progress) for progress in (0, 0.25, 0.374, 0.375, 0.5, 0.625, 0.7499, 0.75, 1)]
    assert stages == [0, 0, 0, 1, 2, 3, 3, 4, 4]
    levels = [variant.level_of(stage) for stage in range(5)]
    assert levels == pytest.approx([0.8 * (1 - left**3) for left in (1, 0.75, 0.5, 0.25, 0)])


def test_pruning_takes_the_smallest_and_never_gives_back() -> None:
    model = tiny_model()
    weights = matrices_of(model)
    first = {name: weight.detach().clone() for name, weight in weights.items()}
    masks = masks_of(model, name="gradual", level=0.5, prunings=2)
    assert masks.zeros == 0
    assert masks.advance(0.5)
    assert not masks.advance(0.6)
    for name, weight in weights.items():
        kept = weight != 0
        assert first[name][kept].abs().min() >= first[name][~kept].abs().max()
        assert float((~kept).float().mean()) == pytest.approx(0.5 * 0.875, abs=1e-3)
    before = {name: weight == 0 for name, weight in weights.items()}
    for weight in weights.values():  # what was pruned would be the largest now
        weight.data.add_((weight == 0) * 9.0)
    assert masks.advance(0.75)
    assert all(bool((weight == 0)[before[name]].all()) for name, weight in weights.items())
    assert masks.zeros == pytest.approx(0.5, abs=1e-3)


def test_two_of_four_along_the_inputs_and_the_larger_ones() -> None:
    model = tiny_model()
    weights = matrices_of(model)
    first = {name: weight.detach().clone() for name, weight in weights.items()}
    masks = masks_of(model, name="semi_structured", fixed_at=0.25)
    assert not masks.advance(0.2)
    assert masks.advance(0.25)
    for name, weight in weights.items():
        groups, before = weight.view(len(weight), -1, 4), first[name].view(len(weight), -1, 4).abs()
        assert bool(((groups != 0).sum(-1) == 2).all())
        assert torch.equal(groups.abs().amax(-1), before.amax(-1))
    assert masks.zeros == 0.5


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("name", ["static", "gradual", "semi_structured"])
def test_weights_gradients_and_moments_stay_zero_and_the_norm_is_of_what_is_trained(
    optimizer: str, name: str
) -> None:
    model = tiny_model()
    masks = masks_of(model, name=name)
    built = optimizers.build(optimizer, model=model, weight_decay=0.1)
    step = MaskedStep(built, CPU, 0.5, None, masks)
    ids = torch.randint(0, 64, (4, 16))
    weights = matrices_of(model)
    for update in range(8):
        step.set_progress(update / 8)
        torch.manual_seed(update)
        model(ids, labels=ids).loss.backward()
        dense = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        norm = step.clip(model.parameters())
        assert norm < dense or masks.zeros == 0
        gradients = {name: weight.grad.clone() for name, weight in weights.items() if weight.grad is not None}
        step.step(torch.stack([norm, norm]))
        built.zero_grad()
        for place, weight in weights.items():
            hidden = weight == 0
            assert float(hidden.float().mean()) == pytest.approx(1 - masks.densities[place], abs=1e-6)
            assert not gradients[place][hidden].any()
            moments = [m for m in built.state[weight].values() if m.shape == weight.shape]
            assert moments
            assert not any(moment[hidden].any() for moment in moments)
            assert all(moment[~hidden].any() for moment in moments)
    assert masks.zeros == pytest.approx({"gradual": 0.75}.get(name, 0.5), abs=1e-3)


def test_a_gradient_that_is_not_finite_refuses_the_update_under_a_mask_as_well() -> None:
    model = tiny_model()
    masks = masks_of(model, name="static", level=0.5)
    step = MaskedStep(optimizers.build("adamw", model=model), CPU, 0.5, None, masks)
    place, weight = next(iter(matrices_of(model).items()))
    weight.grad = torch.where(weight == 0, torch.inf, 0.0)
    assert not torch.isfinite(step.clip(model.parameters())), place


def test_operations_of_the_matrices_by_hand_and_at_a_density() -> None:
    model = tiny_model(feed_forward="glu")
    hidden, inner, length, fraction = 64, model.config.intermediate_size, 32, 0.25
    layer = 3 * hidden * hidden + hidden * hidden + hidden * inner + inner // 2 * hidden
    keys_and_values = 2 * hidden * hidden
    read = layer + keys_and_values + fraction * (layer - keys_and_values)  # two layers
    parts = matrix_flops_per_token(model.config, fraction)
    assert sum(parts.values()) == pytest.approx(3 * 2 * read)
    whole = flops_per_token(model.config, length, fraction)
    scores = 3 * 4 * length * hidden * (1 + fraction)
    assert whole == pytest.approx(sum(parts.values()) + scores + 3 * 2 * 64 * hidden * fraction)
    masks = masks_of(model, name="static", level=0.75)
    assert parts.keys() == masks.densities.keys()
    assert at_density(whole, parts, masks)(0.0) == pytest.approx(whole - 0.75 * 3 * 2 * read, rel=1e-4)
    pruned = masks_of(tiny_model(feed_forward="glu"), name="gradual", level=0.75)
    counted = at_density(lambda progress: whole, lambda progress: parts, pruned)
    assert counted(0.0) == whole
    pruned.advance(1.0)
    assert counted(1.0) == pytest.approx(whole - 0.75 * 3 * 2 * read, rel=1e-4)


def test_a_checkpoint_of_an_earlier_version_has_one_count_of_operations() -> None:
    assert Spent.restored({"flops": 8.0}).flops_dense == 8.0
    assert Spent.restored({}).flops_dense == 0.0


def test_none_changes_no_loss_and_writes_nothing(quick_run: Callable[..., Path]) -> None:
    plain = quick_run("budget.steps=6", name="plain")
    level_zero = quick_run("budget.steps=6", "sparsity=static", "sparsity.level=0", name="zero")
    assert losses(level_zero) == losses(plain)
    assert not list(plain.rglob("sparsity.*"))
    summary = json.loads((plain / "summary.json").read_text())
    assert "sparsity" not in summary
    assert summary["spent"]["flops"] == summary["spent"]["flops_dense"]


@pytest.mark.parametrize("setting", ["sparsity=gradual optim=adamw", "sparsity=gradual optim=muon"])
def test_a_sparse_run_that_was_stopped_goes_on_exactly(quick_run: Callable[..., Path], setting: str) -> None:
    settings = ["budget.steps=24", "checkpoint.every_steps=4", "arch.dropout=0.1", *setting.split()]
    whole = quick_run(*settings, name="whole")
    halves = broken_off(quick_run, settings, "resume=", stop)  # in the tenth update, while it is pruned
    assert losses(halves) == losses(whole)
    first, second = (load_file(run / "model" / "model.safetensors") for run in (whole, halves))
    assert all(torch.equal(first[name], second[name]) for name in first)
    facts = [json.loads((run / "summary.json").read_text()) for run in (whole, halves)]
    assert facts[0]["spent"]["flops"] == facts[1]["spent"]["flops"] < facts[0]["spent"]["flops_dense"]
    assert facts[0]["sparsity"] == facts[1]["sparsity"] == read_facts(whole / "model")


def test_a_sparse_run_says_and_saves_what_is_zero(
    quick_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("budget.steps=4", "sparsity=static", "sparsity.level=0.75", "checkpoint.every_steps=4")
    said = capsys.readouterr().err
    assert "75.0% of 57,344 weights are zero now: at places that the seed draws (uniform)" in said
    assert "FLOPs are counted at the density of the moment" in said
    assert "FLOP at density" in said
    facts = read_facts(run / "model")
    assert facts is not None
    assert (facts["sparsity"]["name"], facts["zeros"]) == ("static", pytest.approx(0.75, abs=1e-3))
    saved = {name: w for name, w in load_file(run / "model" / "model.safetensors").items() if w.ndim == 2}
    zeros = zeros_of(saved)
    assert {name for name, share in zeros.items() if share > 0.7} == {
        name for name in saved if name.startswith("encoder.layers.")
    }
    summary = json.loads((run / "summary.json").read_text())
    spent = summary["spent"]
    dense = spent["flops_dense"] / spent["seconds"] / summary["peak_flops"]
    assert summary["mfu"] == pytest.approx(dense)  # what the hardware computed
    [checkpoint] = (run / "checkpoints").iterdir()
    assert read_optimizer(checkpoint)["state"]


def test_a_budget_of_operations_buys_more_tokens(quick_run: Callable[..., Path]) -> None:
    runs = [quick_run("budget.flops=2e8", f"sparsity={name}", name=name) for name in ("none", "static")]
    spent = [json.loads((run / "summary.json").read_text())["spent"] for run in runs]
    assert spent[1]["tokens"] > spent[0]["tokens"]
    assert spent[1]["flops_dense"] > spent[1]["flops"]


def test_another_sparsity_cannot_resume_a_run(quick_run: Callable[..., Path]) -> None:
    quick_run("budget.steps=2", "sparsity=static", name="run")
    with pytest.raises(UserError, match=r"sparsity\.level was 0\.5 and is now 0\.75"):
        quick_run("budget.steps=2", "sparsity=static", "sparsity.level=0.75", "resume=auto", name="run")


def test_mistakes_are_told_all_at_once_by_their_keys() -> None:
    node = {
        "name": "gradual",
        "level": 1.0,
        "begin": 0.8,
        "end": 0.7,
        "prunings": 0,
        "distribution": "unifrom",
    }
    found = "\n".join(sparsity_problems("pretrain", node))
    for told in (
        "sparsity.level=1.0: a share of zeros",
        "sparsity.begin=0.8 and sparsity.end=0.7",
        "sparsity.prunings=0",
        "did you mean 'uniform'",
    ):
        assert told in found
    assert sparsity_problems("pretrain", {"name": "static", "level": -0.1})
    assert "takes no such setting" in sparsity_problems("pretrain", {"name": "none", "level": 0.5})[0]
    assert sparsity_problems("pretrain", {"name": "keep"}) == []
    assert "which takes keep or none" in sparsity_problems("finetune", {"name": "static"})[0]
    words = ["sparsity=semi_structured", "sparsity.fixed_at=1", "+budget=1m", "data=demo"]
    assert any("sparsity.fixed_at=1" in problem for problem in problems(composed(*words)))
    odd = composed("sparsity=semi_structured", "arch=tiny", "arch.hidden_size=66", "arch.intermediate_size=20",
                   "+budget=1m", "data=demo")  # fmt: skip
    told = [problem for problem in problems(odd) if "does not divide" in problem]
    assert [problem.partition(":")[0] for problem in told] == [
        "sparsity=semi_structured with arch.hidden_size=66",
        "sparsity=semi_structured with arch.intermediate_size=20",
    ]
