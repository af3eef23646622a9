"""Counts of parameters and operations, against arithmetic by hand."""

from __future__ import annotations

import pytest

from bertinchamps.model.architecture import build_config
from bertinchamps.model.flops import flops_per_token, forward_flops_per_token, parameter_count


def test_parameters_of_crammed_by_hand(arch):
    hidden, layers, half = 768, 16, 1536
    attention = 3 * hidden * hidden + hidden * hidden
    feed_forward = hidden * 2 * half + half * hidden
    norm = 2 * hidden
    layer = attention + feed_forward + 2 * norm
    embeddings = 32768 * hidden + 1 + norm  # tokens, the scale of the positions, norm; the decoder is tied
    by_hand = embeddings + layers * layer + norm
    assert by_hand == 119_589_889
    assert parameter_count(build_config(arch("crammed"), 32768)) == by_hand


def test_parameters_of_bert_base_are_the_known_number(arch):
    # google-bert/bert-base-uncased has 109,514,298 with its head; less two token types, plus 6 padded rows.
    known = 109_514_298 - 2 * 768 + 6 * (768 + 1)
    assert parameter_count(build_config(arch("bert_base"), 30522)) == known


def test_operations_of_crammed_by_hand(arch):
    config = build_config(arch("crammed"), 32768)
    projections = 2 * (4 * 768 * 768 + 768 * 3072 + 1536 * 768)
    attention = 2 * (128 * 768 + 128 * 768)
    decoder = 2 * 768 * 32768
    keys_and_values = 2 * 2 * 768 * 768
    assert forward_flops_per_token(config, 128, 0.0) == 15 * (projections + attention) + keys_and_values
    assert forward_flops_per_token(config, 128, 1.0) == 16 * (projections + attention) + decoder
    assert flops_per_token(config, 128, 0.15) == pytest.approx(0.5827e9, rel=1e-4)


def test_a_mlp_and_a_glu_of_one_size_differ_in_the_second_projection(arch):
    wide, gated = (
        forward_flops_per_token(build_config(arch("crammed") | {"feed_forward": kind}, 64), 128, 1.0)
        for kind in ("mlp", "glu")
    )
    assert wide - gated == 16 * 2 * 1536 * 768
