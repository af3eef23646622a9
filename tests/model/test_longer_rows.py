"""More positions: short texts are read as before where positions are copied; rotary ones turn more slowly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM

from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.encoders import longest_input
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.longer_rows import (
    extension_problems,
    longer_base,
    positions_in,
    rotary_base,
    with_more_positions,
)
from bertinchamps.model.stock.twins import stock_twin
from families import make_masked_lm

BEFORE, AFTER = 64, 200
TABLES = ("bert", "roberta", "camembert", "xlm-roberta", "distilbert", "electra", "albert", "flaubert")


@torch.no_grad()
def states(model: Any, length: int, padded: int = 0) -> torch.Tensor:
    """Logits for two rows, the second one with padding at its end."""
    torch.manual_seed(1)
    ids = torch.randint(5, model.config.vocab_size, (2, length))
    mask = torch.ones_like(ids)
    if padded:
        ids[1, -padded:], mask[1, -padded:] = model.config.pad_token_id, 0
    logits: torch.Tensor = model.eval()(input_ids=ids, attention_mask=mask).logits
    return logits


@pytest.mark.parametrize("family", TABLES)
def test_a_table_is_copied_and_short_texts_are_read_as_before(family: str, tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(make_masked_lm(family, tmp_path / "base"))
    assert extension_problems(model.config, AFTER, None, "model=x") == []
    longer = with_more_positions(model, AFTER, None, "model=x")
    longer.save_pretrained(tmp_path / "longer")
    opened = AutoModelForMaskedLM.from_pretrained(tmp_path / "longer")
    assert type(opened) is type(model)
    assert longest_input(opened.config) == positions_in(opened.config) == AFTER
    for length, padded in ((5, 2), (BEFORE, 0), (BEFORE, 20)):
        assert torch.equal(states(opened, length, padded), states(model, length, padded))
    assert states(opened, AFTER, 3).isfinite().all()
    with pytest.raises((IndexError, RuntimeError)):
        states(opened, AFTER + 1)


@pytest.mark.parametrize("family", ["bert", "camembert"])
def test_rows_of_the_table_are_those_of_the_base_again_and_again(family: str, tmp_path: Path) -> None:
    model = AutoModelForMaskedLM.from_pretrained(make_masked_lm(family, tmp_path / "base"))
    unused = 2 if family == "camembert" else 0
    before, after = (
        each.base_model.embeddings.position_embeddings.weight
        for each in (model, with_more_positions(model, AFTER, None, "model=x"))
    )
    assert len(after) == AFTER + unused
    assert torch.equal(after[:unused], before[:unused])
    for place in range(AFTER):
        assert torch.equal(after[unused + place], before[unused + place % BEFORE])


def ours(**fields: Any) -> BertinchampsForMaskedLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertinchampsConfig(
        **{**sizes, "vocab_size": 80, "pad_token_id": 0, "max_positions": BEFORE, **fields}
    )
    return BertinchampsForMaskedLM(config).eval()


def test_our_own_tables_are_copied_also_that_before_the_head() -> None:
    model = ours(positions="learned", head_positions=True)
    longer = with_more_positions(model, AFTER, None, "model=x")
    assert longer.config.max_positions == AFTER
    assert torch.equal(states(longer, BEFORE), states(model, BEFORE))
    for table in (longer.encoder.embeddings.positions.vectors, longer.head.positions.vectors):
        assert torch.equal(table.weight[:BEFORE], table.weight[BEFORE : 2 * BEFORE])
    assert states(longer, AFTER).isfinite().all()


MODERN: dict[str, Any] = {
    "positions": "rotary", "first_attention_norm": False, "norm_bias": False, "decoder_bias": True,
    "head_transform": True, "pooler": "modernbert", "norm_epsilon": 1e-5, "attention": "alternating",
    "local_window": 16, "rotary_theta": 1000.0, "local_theta": 500.0,
}  # fmt: skip


def test_of_rotary_positions_the_slowest_pair_turns_slower_and_the_fastest_as_before() -> None:
    model = ours(**MODERN)
    base, size = longer_base(model.config, 1000.0, AFTER), 16
    assert base == pytest.approx(1000 * (AFTER / BEFORE) ** (16 / 14))
    slowest, fastest = (base ** (-exponent / size) for exponent in (size - 2, 0))
    assert slowest == pytest.approx(1000 ** (-(size - 2) / size) * BEFORE / AFTER)
    assert fastest == 1
    longer = with_more_positions(model, AFTER, None, "model=x")
    assert (longer.config.rotary_theta, longer.config.local_theta) == (base, 500)
    assert longer.config.max_positions == AFTER
    assert not torch.allclose(states(longer, BEFORE), states(model, BEFORE), atol=1e-6)


def test_a_base_that_is_given_is_taken_and_the_same_one_changes_nothing() -> None:
    model = ours(**MODERN)
    same = with_more_positions(model, AFTER, 1000.0, "model=x")
    assert same.config.max_positions == AFTER
    assert torch.equal(states(same, AFTER), states(model, AFTER))
    assert with_more_positions(model, AFTER, 5e4, "model=x").config.rotary_theta == 5e4


def test_modernberts_positions_become_those_of_its_twin_in_our_class(tmp_path: Path) -> None:
    model = ours(**MODERN)
    stock = stock_twin(model)
    longer, twin = (with_more_positions(each, AFTER, None, "model=x") for each in (stock, model))
    longer.save_pretrained(tmp_path)
    opened = AutoModelForMaskedLM.from_pretrained(tmp_path)
    assert type(opened).__name__ == "ModernBertForMaskedLM"
    settings = opened.config.rope_parameters
    assert settings["full_attention"]["rope_theta"] == twin.config.rotary_theta
    assert settings["sliding_attention"]["rope_theta"] == 500
    assert opened.config.max_position_embeddings == AFTER
    for length in (BEFORE, AFTER):
        torch.testing.assert_close(states(opened, length), states(twin, length), rtol=1e-4, atol=1e-5)
    same = with_more_positions(stock, AFTER, 1000.0, "model=x")
    assert torch.equal(states(same, BEFORE), states(stock, BEFORE))


def test_what_cannot_be_extended_is_told(tmp_path: Path) -> None:
    bert = transformers.BertConfig(max_position_embeddings=BEFORE, num_hidden_layers=1)
    assert extension_problems(bert, BEFORE, None, "model=x") == [
        "positions.extend=64: model=x has 64 positions; give more, or leave it out"
    ]
    assert extension_problems(bert, AFTER, 1e4, "model=x") == [
        "positions.theta=10000.0: model=x has no rotary positions"
    ]
    computed = extension_problems(BertinchampsConfig(), AFTER, None, "model=x")
    assert computed == [
        "positions.extend=200: model=x computes positions for rows of any length; leave it out"
    ]
    rotary = BertinchampsConfig(positions="rotary", max_positions=BEFORE)
    assert extension_problems(rotary, AFTER, -1.0, "model=x") == ["positions.theta=-1.0: above 0"]
    scaled = transformers.ModernBertConfig(
        num_hidden_layers=1,
        rope_parameters={"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
    )
    assert rotary_base(scaled) is None
    [said] = extension_problems(scaled, 10_000, None, "model=x")
    assert "neither a learned table nor rotary with one base" in said
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    for absolute in (False, True):
        config = transformers.DebertaV2Config(
            **sizes, **relative, vocab_size=90, max_position_embeddings=BEFORE, position_biased_input=absolute
        )
        model = transformers.DebertaV2ForMaskedLM(config)
        with torch.no_grad():
            for part in model.parameters():
                part.mul_(10)  # so that distances count
        said = "\n".join(extension_problems(config, AFTER, None, "model=x"))
        assert bool(said) is not absolute
        with pytest.raises(
            UserError, match="neither a learned table nor rotary"
        ):  # once its states are compared
            with_more_positions(model, AFTER, None, "model=x")
