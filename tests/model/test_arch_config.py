"""Architecture nodes: the shipped ones are right, and mistakes are all reported at once."""

from __future__ import annotations

import pytest

from bertinchamps.errors import UserError
from bertinchamps.model.architecture import arch_problems, build_config
from bertinchamps.model.configuration import BertinchampsConfig

SHIPPED = ("crammed", "small", "tiny", "bert_base", "modern")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_architectures_have_no_problems(arch, name):
    assert arch_problems(arch(name)) == []


def test_defaults_of_the_config_are_the_crammed_model(arch):
    built, default = build_config(arch("crammed"), 32768), BertinchampsConfig()
    assert built.to_dict() == default.to_dict()


def test_vocabulary_is_padded_and_token_ids_kept(arch):
    config = build_config(arch("tiny"), 1001, pad_token_id=3, mask_token_id=4)
    assert (config.vocab_size, config.pad_token_id, config.mask_token_id) == (1024, 3, 4)
    assert build_config(arch("tiny"), 1024).vocab_size == 1024


def test_every_mistake_is_reported_at_once_in_the_users_keys(arch):
    fields = arch("crammed") | {
        "hidden_sise": 768,
        "num_attention_heads": 7,
        "intermediate_size": 3073,
        "activation": "gellu",
        "norm": "batchnorm",
        "norm_position": "post",
        "first_attention_norm": False,
        "dropout": 1.5,
        "norm_bias": "yes",
        "num_hidden_layers": True,
        "norm_epsilon": 0,
        "vocab_padding": 0,
        "stock": "roberta",
    }
    del fields["init"]
    problems = "\n".join(arch_problems(fields))
    for expected in (
        "arch.hidden_sise: no such setting; did you mean 'hidden_size'?",
        "arch.num_attention_heads=7: does not divide arch.hidden_size=768",
        "arch.activation=gellu: no such activation; did you mean 'gelu'?",
        "arch.norm=batchnorm: no such norm (one of: layernorm, rmsnorm)",
        "arch.final_norm=true: post-norm",
        "arch.first_attention_norm=false: only pre-norm",
        "arch.dropout=1.5: must be",
        "arch.norm_bias=yes: must be true or false",
        "arch.num_hidden_layers=True: must be a whole number",
        "arch.norm_epsilon=0: must be a number above 0",
        "arch.vocab_padding=0: must be",
        "arch.stock=roberta: must be one of null, modernbert, bert",
        "arch.init: missing",
    ):
        assert expected in problems
    with pytest.raises(UserError, match=r"arch\.init: missing") as raised:
        build_config(fields, 100)
    assert str(raised.value) == problems


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"intermediate_size": 3073}, "arch.intermediate_size=3073: glu splits it into two halves"),
        ({"positions": "rotary", "num_attention_heads": 256}, "gives heads of size 3"),
        (
            {"hidden_size": 33, "num_attention_heads": 3},
            "arch.hidden_size=33: the sines and cosines",
        ),
    ],
)
def test_each_entry_refuses_what_it_cannot_do(arch, changes, expected):
    (problem,) = arch_problems(arch("crammed") | changes)
    assert expected in problem


def test_a_promised_stock_model_must_be_representable(arch):
    problems = arch_problems(arch("modern") | {"positions": "learned", "dropout": 0.1})
    assert problems == [
        "arch.positions=learned: arch.stock=modernbert needs rotary",
        "arch.dropout=0.1: arch.stock=modernbert needs 0.0",
    ]
