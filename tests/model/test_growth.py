"""A model that grew computes what the smaller one does, in width and in depth, and its copies differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytest
import torch

from bertinchamps.compressing.importance import pruned
from bertinchamps.compressing.layouts import Kept
from bertinchamps.model.architecture import build_config
from bertinchamps.model.growth import adopt, grow, growth_problems
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from support import composed

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SMALL |= {"initializer_range": 0.2}
ARCHS = {
    "crammed": ["arch=crammed"],
    "small": ["arch=small", "arch.positions=rotary", "arch.query_key_norm=true"],
    "bert_base": ["arch=bert_base"],
    "modern": ["arch=modern"],
    "long": ["arch=long", "arch.local_window=4"],
    "rmsnorm": ["arch=tiny", "arch.norm=rmsnorm", "arch.tie_word_embeddings=false", "arch.positions=learned"],
    "post_norm": [
        "arch=tiny",
        "arch.norm_position=post",
        "arch.final_norm=false",
        "arch.positions=sinusoidal",
    ],
}
LARGER = {
    "wider": {"hidden_size": 96, "num_attention_heads": 6, "intermediate_size": 192},
    "deeper": {"num_hidden_layers": 5},
    "wider_inside": {"intermediate_size": 90},
    "all": {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 100, "num_hidden_layers": 3},
}


def grown(
    arch: str, larger: Mapping[str, int], before: Mapping[str, int] = SMALL
) -> tuple[BertinchampsForMaskedLM, BertinchampsForMaskedLM]:
    """A small model with weights that are nowhere special, and the larger one that begins as it."""
    fields = asdict(composed("data=demo", "experiment=paper", *ARCHS[arch]).arch) | before
    torch.manual_seed(0)
    small = BertinchampsForMaskedLM(build_config(fields, 100)).eval()
    with torch.no_grad():
        for parameter in small.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    new = fields | larger
    assert growth_problems(small.config, new, "grow.model=X") == []
    config = build_config(new, 100)
    adopt(config, small.config)
    large = BertinchampsForMaskedLM(config).eval()
    grow(small, large)
    return small, large


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("larger", LARGER)
@torch.no_grad()
def test_logits_are_the_small_models(arch: str, larger: str) -> None:
    small, large = grown(arch, LARGER[larger])
    ids = torch.randint(0, 100, (3, 20))
    before, after = small(ids).logits, large(ids).logits
    assert before.std() > 0.5
    assert torch.allclose(after, before, atol=3e-5)


@pytest.mark.parametrize("layers", range(4, 14))
@torch.no_grad()
def test_layers_of_any_number_read_as_far_as_they_did(layers: int) -> None:
    small, large = grown("long", {"num_hidden_layers": layers}, SMALL | {"num_hidden_layers": 4})
    ids = torch.randint(0, 100, (3, 20))
    assert torch.allclose(large(ids).logits, small(ids).logits, atol=3e-5)


@torch.no_grad()
def test_a_pruned_model_grows_where_the_new_one_has_layers_like_its() -> None:
    fields = asdict(composed("data=demo", "experiment=paper", *ARCHS["long"]).arch) | SMALL
    model: Any = BertinchampsForMaskedLM(build_config(fields | {"num_hidden_layers": 5}, 100)).eval()
    small: Any = pruned(model, Kept([0, 3, 4]))
    assert small.config.global_layers == [0, 1]
    (problem,) = growth_problems(small.config, fields | {"num_hidden_layers": 4}, "grow.model=X")
    assert problem.startswith("arch.num_hidden_layers=4: layers of grow.model=X were pruned")
    assert growth_problems(small.config, fields | {"num_hidden_layers": 5}, "grow.model=X") == []
    large = BertinchampsForMaskedLM(build_config(fields | {"num_hidden_layers": 5}, 100)).eval()
    grow(small, large)
    ids = torch.randint(0, 100, (3, 20))
    assert torch.allclose(large(ids).logits, small(ids).logits, atol=3e-5)
    small.config.global_layers = [1]  # a first layer that reads near by
    assert growth_problems(small.config, fields | {"num_hidden_layers": 40}, "grow.model=X")


def test_copies_of_a_unit_get_gradients_of_their_own() -> None:
    _, large = grown("crammed", LARGER["wider"])
    ids = torch.randint(0, 100, (3, 20))
    large(ids, labels=ids).loss.backward()
    incoming = large.encoder.layers[0].feed_forward.input.weight.grad[
        :32
    ]  # the units that are activated, once
    copies = large.encoder.layers[0].feed_forward.input.weight.grad[32:64]
    directions = torch.nn.functional.cosine_similarity(incoming, copies, dim=-1)
    assert float(directions.mean()) < 0.95


def test_new_layers_learn_from_the_first_update_on() -> None:
    _, large = grown("crammed", LARGER["deeper"])
    ids = torch.randint(0, 100, (3, 20))
    large(ids, labels=ids).loss.backward()
    for layer in large.encoder.layers:
        assert layer.attention.output.weight.grad.abs().max() > 0


def test_a_grown_model_is_saved_with_the_width_of_its_sines(tmp_path: object) -> None:
    small, large = grown("crammed", LARGER["wider"])
    large.save_pretrained(tmp_path)
    again = BertinchampsForMaskedLM.from_pretrained(tmp_path).eval()
    assert again.config.position_width == 32
    ids = torch.randint(0, 100, (2, 9))
    with torch.no_grad():
        assert torch.equal(again(ids).logits, large(ids).logits)
    assert small.config.position_width is None
