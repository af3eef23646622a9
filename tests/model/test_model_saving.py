"""A checkpoint is a directory that Hugging Face opens, with every weight and nothing else."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM

from bertinchamps.errors import UserError
from bertinchamps.model.auto import register
from bertinchamps.model.configuration import ARCHITECTURE_FIELDS, BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM, load_masked_lm
from bertinchamps.model.huggingface import BertinchampsModel


@pytest.fixture(autouse=True)
def registered():
    register()
    register()  # a second call is harmless


@pytest.mark.parametrize("name", ["crammed", "bert_base", "modern"])
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip_through_the_auto_classes(small, random_model, ids, tmp_path, name, tied):
    model = random_model(small(name, tie_word_embeddings=tied))
    model.save_pretrained(tmp_path)
    loaded, report = AutoModelForMaskedLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    assert type(loaded) is BertinchampsForMaskedLM
    for field in ARCHITECTURE_FIELDS:
        assert getattr(loaded.config, field) == getattr(model.config, field), field
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for parameter_name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[parameter_name]), parameter_name
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert (loaded.head.decoder.weight is loaded.encoder.embeddings.tokens.weight) == tied


def test_the_checkpoint_holds_parameters_once_and_all_settings(small, random_model, tmp_path):
    model = random_model(small())
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == dict(model.named_parameters()).keys()
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings.keys() >= set(ARCHITECTURE_FIELDS)
    assert settings["model_type"] == "bertinchamps"


def test_the_encoder_alone_opens_from_the_same_checkpoint(small, random_model, ids, tmp_path):
    model = random_model(small())
    model.save_pretrained(tmp_path)
    encoder = AutoModel.from_pretrained(tmp_path)
    assert type(encoder) is BertinchampsModel
    assert torch.equal(encoder(ids).last_hidden_state, model.encoder(ids).last_hidden_state)


def test_strict_loading(small, random_model, ids, tmp_path):
    model = random_model(small())
    model.save_pretrained(tmp_path)
    assert torch.equal(load_masked_lm(tmp_path)(ids).logits, model(ids).logits)

    weights = tmp_path / "model.safetensors"
    stored = load_file(weights)
    del stored["encoder.final_norm.bias"]
    stored["encoder.pooler.weight"] = torch.zeros(2)
    stored["encoder.embeddings.norm.bias"] = torch.zeros(3)
    save_file(stored, weights, metadata={"format": "pt"})
    with pytest.raises(UserError) as raised:
        load_masked_lm(tmp_path)
    for expected in (
        "missing: encoder.final_norm.bias",
        "encoder.pooler.weight",
        "encoder.embeddings.norm.bias",
    ):
        assert expected in str(raised.value)


def test_a_path_that_is_no_checkpoint_is_refused_without_the_network(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json and no model\.safetensors"):
        load_masked_lm(tmp_path / "absent")


def test_config_answers_to_the_usual_name_of_the_length_limit(small, tmp_path):
    config = small(max_positions=99)
    config.save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).max_position_embeddings == 99
    assert BertinchampsConfig.from_pretrained(tmp_path).max_positions == 99


@pytest.mark.parametrize("tied", [True, False])
def test_resizing_the_vocabulary_keeps_old_logits(small, random_model, ids, tied):
    model = random_model(small("bert_base", tie_word_embeddings=tied))
    before = model(ids).logits
    model.resize_token_embeddings(70)
    after = model(ids).logits
    assert model.config.vocab_size == 70
    assert after.shape[-1] == 70
    torch.testing.assert_close(after[..., :64], before)
    assert (model.head.decoder.weight is model.encoder.embeddings.tokens.weight) == tied
