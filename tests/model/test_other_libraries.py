"""Models in the hands of `peft` and of `sentence-transformers`, which call them as they call stock ones."""

from __future__ import annotations

import inspect

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModel

from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.huggingface import BertinchampsModel

TASK_TYPES = {
    "FEATURE_EXTRACTION": BertinchampsModel,
    "TOKEN_CLS": BertinchampsForTokenClassification,
    "SEQ_CLS": BertinchampsForSequenceClassification,
}


@pytest.mark.parametrize("task_type", TASK_TYPES)
def test_peft_trains_saves_and_loads_an_adapter_of_each_type(small, ids, padding, tmp_path, task_type):
    def base() -> torch.nn.Module:
        torch.manual_seed(0)
        return TASK_TYPES[task_type](small("modern")).eval()

    lora = LoraConfig(
        task_type=task_type, target_modules=["query_key_value", "output"], init_lora_weights=False
    )
    adapted = get_peft_model(base(), lora)
    inputs = {"input_ids": ids, "attention_mask": padding, "output_hidden_states": True}
    if task_type != "FEATURE_EXTRACTION":
        inputs["labels"] = ids[:, 0] % 2 if task_type == "SEQ_CLS" else ids % 2
        adapted.train()(**inputs).loss.backward()
        trained = {name for name, parameter in adapted.named_parameters() if parameter.grad is not None}
        assert any("lora_B" in name for name in trained)
        assert any("classifier" in name for name in trained)
        assert all("lora_" in name or "modules_to_save" in name for name in trained)
    adapted.eval()
    output = adapted(**inputs)
    assert len(output.hidden_states) == 4
    adapted.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(base(), tmp_path)(**inputs)
    for one, other in zip(output.to_tuple(), loaded.to_tuple(), strict=True):
        torch.testing.assert_close(one, other)
    merged = adapted.merge_and_unload()(**inputs)
    torch.testing.assert_close(merged.hidden_states, output.hidden_states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("return_dict", [False, True])
def test_sentence_transformers_reads_the_first_output(
    small, random_model, ids, padding, tmp_path, return_dict
):
    """It keeps those features that `forward` names, and takes what comes first for the vectors of tokens."""
    random_model(small()).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path)
    features = {
        "input_ids": ids,
        "attention_mask": padding,
        "token_type_ids": torch.zeros_like(ids),
        "text": 1,
    }
    named = inspect.signature(model.forward).parameters
    kept = {name: feature for name, feature in features.items() if name in named}
    assert kept.keys() == features.keys() - {"text"}
    vectors = model(**kept, return_dict=return_dict)[0]
    assert vectors.shape == (2, 10, model.config.hidden_size)
    torch.testing.assert_close(vectors, model(ids, padding).last_hidden_state)
