"""Adapters on encoders of many families: what they adapt, and that peft gives the same logits on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel, get_peft_model
from torch import nn

from bertinchamps.errors import UserError
from bertinchamps.model.adapters import adapters
from bertinchamps.model.adapters.bases import SharedBases, encoder_of, fingerprint_of
from bertinchamps.model.adapters.injected import PeftAdapter, inject_in
from bertinchamps.model.adapters.saved import open_saved
from bertinchamps.model.encoders import EncoderSource, open_model
from bertinchamps.model.flops import downstream_flops_per_token
from bertinchamps.model.heads import DownstreamModel, WordSubwords, heads
from bertinchamps.training.optim import adamw, muon

FAMILIES = (
    "bertinchamps",
    "bert",
    "roberta",
    "camembert",
    "distilbert",
    "modernbert",
    "electra",
    "albert",
    "deberta-v2",
)
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2,
    "sep_token_id": 3,
}  # fmt: skip
OF_FAMILY: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "electra": {"embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48},
}
WORDS = WordSubwords(torch.tensor([[1, 2, 4], [1, 3, 0]]), torch.tensor([[1, 3, 5], [2, 4, 0]]))


@pytest.fixture
def base(tmp_path: Path, small: Any, random_model: Any) -> Any:
    """Writes a tiny encoder of a family, without a tokenizer."""

    def write(family: str, seed: int = 0) -> Path:
        folder = tmp_path / f"{family}-{seed}"
        if family == "bertinchamps":
            model = random_model(small("modern"))
        else:
            torch.manual_seed(seed)
            config = transformers.AutoConfig.for_model(family, **{**SIZES, **OF_FAMILY.get(family, {})})
            model = transformers.AutoModelForMaskedLM.from_config(config)
        model.save_pretrained(folder)
        return folder

    return write


def with_head(head: str, folder: Path, dropout: float = 0.0) -> DownstreamModel:
    torch.manual_seed(3)
    return build(head)(EncoderSource(str(folder), dropout=dropout))


def build(head: str) -> Any:
    more = {"problem": "single_label_classification"} if head == "classes" else {}
    return lambda source: heads.build(head, source=source, classes=["a", "b", "c"], **more)


def stir(model: nn.Module) -> None:
    """Give every trained weight another value, as training would: an adapter begins without an effect."""
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def logits(model: DownstreamModel, head: str, ids: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    inputs = {"input_ids": ids, "attention_mask": padding}
    return model(inputs) if head == "classes" else model(inputs, WORDS)


@pytest.mark.parametrize("name", ["lora", "ia3", "prompt"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head", ["flat", "nested", "classes"])
def test_an_adapter_is_saved_opened_and_merged_with_equal_logits(
    base: Any, ids: torch.Tensor, padding: torch.Tensor, tmp_path: Path, head: str, family: str, name: str
) -> None:
    folder = base(family)
    model, adapter = with_head(head, folder), adapters.build(name)
    adapter.attach(model, str(folder))
    stir(model)
    model.eval()
    expected = logits(model, head, ids, padding)
    (saved := tmp_path / "saved").mkdir()
    adapter.save(model, saved)
    opened, again = open_saved(saved, build(head))
    opened.eval()
    torch.testing.assert_close(logits(opened, head, ids, padding), expected)
    assert not (saved / "model.safetensors").exists()
    if again.not_merged is None:
        again.merge(opened)
        assert not any("lora" in part or "ia3" in part for part, _ in opened.named_modules())
        (merged := tmp_path / "merged").mkdir()
        opened.save(merged)
        plain = build(head)(EncoderSource(str(merged), dropout=0.0, with_head=True)).eval()
        torch.testing.assert_close(logits(plain, head, ids, padding), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lora", "ia3"])
@pytest.mark.parametrize("family", ["bertinchamps", "bert", "modernbert"])
@pytest.mark.parametrize("head", ["flat", "classes"])
def test_peft_opens_what_was_saved_and_gives_the_same_logits(
    base: Any, ids: torch.Tensor, padding: torch.Tensor, tmp_path: Path, head: str, family: str, name: str
) -> None:
    folder = base(family)
    model, adapter = with_head(head, folder), adapters.build(name)
    adapter.attach(model, str(folder))
    stir(model)
    adapter.save(model, tmp_path)
    auto = "AutoModelForSequenceClassification" if head == "classes" else "AutoModelForTokenClassification"
    plain = open_model(auto, EncoderSource(str(folder), dropout=0.0), ["a", "b", "c"])
    theirs = PeftModel.from_pretrained(plain, str(tmp_path))
    for mode in (True, False):
        for half in (model, theirs):
            half.train(mode)
        of_us, of_peft = (
            (torch.manual_seed(5), half(input_ids=ids, attention_mask=padding).logits)[1]
            for half in (model.model, theirs)
        )
        torch.testing.assert_close(of_us, of_peft)


def test_peft_gives_the_same_logits_with_a_prompt(
    base: Any, ids: torch.Tensor, padding: torch.Tensor, tmp_path: Path
) -> None:
    """Of the tokens of the text: peft returns those of the prompt, too."""
    folder = base("bertinchamps")
    model, adapter = with_head("flat", folder), adapters.build("prompt", tokens=4)
    adapter.attach(model, str(folder))
    stir(model)
    adapter.save(model, tmp_path)
    plain = open_model(
        "AutoModelForTokenClassification", EncoderSource(str(folder), dropout=0.0), ["a", "b", "c"]
    )
    theirs = PeftModel.from_pretrained(plain, str(tmp_path)).eval()
    model.eval()
    expected = theirs(input_ids=ids, attention_mask=padding).logits[:, 4:]
    torch.testing.assert_close(model.model(input_ids=ids, attention_mask=padding).logits, expected)


@pytest.mark.parametrize("training", [True, False])
def test_the_last_layer_reads_some_positions_as_peft_does_among_all(
    small: Any, random_model: Any, ids: torch.Tensor, padding: torch.Tensor, training: bool
) -> None:
    """The injected model, beside the same weights in the hands of peft alone."""
    from peft import LoraConfig

    config = LoraConfig(r=4, target_modules=["query_key_value"], init_lora_weights=False, lora_dropout=0.0)
    places = torch.tensor([[0, 3, 6], [1, 2, 5]])
    ours = random_model(small("modern"))
    torch.manual_seed(6)
    inject_in(ours, config)
    theirs = random_model(small("modern"))
    torch.manual_seed(6)
    theirs = get_peft_model(theirs, config)
    for model in (ours, theirs):
        model.train(training)
    alone = ours(ids, padding, masked_positions=places).logits
    among_all = theirs(input_ids=ids, attention_mask=padding).logits
    torch.testing.assert_close(
        alone,
        among_all.gather(1, places[:, :, None].expand(-1, -1, among_all.shape[-1])),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("family", "endings"),
    [
        ("bertinchamps", {"attention.query_key_value"}),
        ("modernbert", {"attn.Wqkv"}),
        ("bert", {"self.query", "self.key", "self.value"}),
        ("distilbert", {"attention.q_lin", "attention.k_lin", "attention.v_lin"}),
        ("deberta-v2", {"self.query_proj", "self.key_proj", "self.value_proj"}),
    ],
)
def test_lora_adapts_queries_keys_and_values(base: Any, family: str, endings: set[str]) -> None:
    model, adapter = with_head("flat", base(family)), adapters.build("lora")
    adapter.attach(model, "x")
    assert {".".join(name.split(".")[-2:]) for name in adapter.node()["targets"]} == endings


@pytest.mark.parametrize(
    "family", ["bert", "camembert", "modernbert", "bertinchamps", "distilbert", "albert"]
)
def test_ia3_scales_keys_values_and_inner_activations_and_nothing_of_attention_else(
    base: Any, family: str
) -> None:
    model, adapter = with_head("flat", base(family)), adapters.build("ia3")
    adapter.attach(model, "x")
    layers = {"albert": 1, "bertinchamps": 3}.get(family, 2)
    inner = adapter.node()["feed_forward"]
    assert len(inner) == layers
    for name in inner:
        assert "attention" not in name.split(".")[-2]
        vector = model.model.get_submodule(name).ia3_l["default"]
        assert vector.shape == (1, 24 if family == "bertinchamps" else 48)


@pytest.mark.parametrize("family", ["bertinchamps", "modernbert"])
def test_ia3_leaves_the_queries_of_a_fused_map_alone(base: Any, ids: torch.Tensor, family: str) -> None:
    model, adapter = with_head("flat", base(family)), adapters.build("ia3")
    adapter.attach(model, "x")
    vectors = [model.model.get_submodule(name).ia3_l["default"] for name in adapter.node()["targets"]]
    optimizer = adamw(model, learning_rate=0.1, weight_decay=0.5)
    for _ in range(3):
        model.model(input_ids=ids).logits.square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    for vector in vectors:
        assert vector.shape == (96, 1)
        assert (vector[:32] == 1).all()
        assert (vector[32:] != 1).all()


def test_ia3_does_not_guess_the_order_of_a_fused_map(base: Any) -> None:
    model = with_head("flat", base("bertinchamps"))
    model.model.config.model_type = "unknown"
    with pytest.raises(UserError, match=r"order of its outputs is not known.*adapter\.queries=true"):
        adapters.build("ia3").attach(model, "x")
    adapters.build("ia3", queries=True).attach(model, "x")


def test_an_encoder_without_such_maps_is_refused_with_what_was_looked_for(base: Any) -> None:
    model = with_head("flat", base("bert"))
    for layer in encoder_of(model).encoder.layer:
        attention = layer.attention.self
        attention.first, attention.second = attention.query, attention.key
        del attention.query, attention.key
    message = (
        r"no linear maps that are called .*query_key_value.*'adapter\.targets=\[…\]'; there are .*self\.first"
    )
    with pytest.raises(UserError, match=message):
        adapters.build("lora").attach(model, "x")
    with pytest.raises(UserError, match=r"adapter\.targets=\['third'\]: no linear map .* third; there are "):
        adapters.build("lora", targets=["third"]).attach(model, "x")
    adapters.build("lora", targets=["self.first", "value"]).attach(model, "x")


@pytest.mark.parametrize("family", ["bertinchamps", "roberta", "bert"])
def test_a_prompt_shifts_no_words_and_padding_changes_nothing(
    base: Any, ids: torch.Tensor, padding: torch.Tensor, family: str
) -> None:
    model, adapter = with_head("nested", base(family)), adapters.build("prompt", tokens=3)
    adapter.attach(model, "x")
    stir(model)
    model.eval()
    inputs = {"input_ids": ids.clamp(min=4), "attention_mask": padding}
    inputs["input_ids"][1, 7:] = 0
    together = model.model(**inputs).last_hidden_state
    assert together.shape[:2] == ids.shape
    alone = model.model(
        input_ids=inputs["input_ids"][1:, :7], attention_mask=padding[1:, :7]
    ).last_hidden_state
    torch.testing.assert_close(together[1:, :7], alone, rtol=1e-4, atol=1e-5)
    before = model.model(**inputs).last_hidden_state
    with torch.no_grad():
        model.prompt.embedding.weight.mul_(-1)
    assert not torch.allclose(model.model(**inputs).last_hidden_state, before)


def test_the_fingerprint_is_of_weights_and_architecture_alone(base: Any) -> None:
    folder, other = base("bert"), base("bert", seed=1)
    found = {
        fingerprint_of(encoder_of(with_head(head, folder, dropout)))
        for head in ("flat", "nested", "classes")
        for dropout in (0.0, 0.3)
    }
    assert len(found) == 1
    assert fingerprint_of(encoder_of(with_head("flat", other))) not in found
    changed = with_head("flat", folder)
    changed.model.config.num_attention_heads = 2
    assert fingerprint_of(encoder_of(changed)) not in found


def test_another_base_is_refused_by_both_names(base: Any, tmp_path: Path) -> None:
    folder, other = base("bert"), base("bert", seed=1)
    model, adapter = with_head("flat", folder), adapters.build("lora")
    adapter.attach(model, str(folder))
    (saved := tmp_path / "saved").mkdir()
    adapter.save(model, saved)
    with pytest.raises(UserError) as refused:
        open_saved(saved, build("flat"), base=str(other))
    assert str(folder) in str(refused.value)
    assert str(other) in str(refused.value)
    folder.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"No encoder in .*; give base=DIR"):
        open_saved(saved, build("flat"))
    open_saved(saved, build("flat"), base=str(tmp_path / "moved"))


def test_models_of_one_base_share_its_memory_and_give_what_they_give_alone(
    base: Any, ids: torch.Tensor, padding: torch.Tensor, tmp_path: Path
) -> None:
    folder, expected = base("bert"), {}
    for head, name in (("flat", "lora"), ("nested", "ia3"), ("classes", "prompt")):
        model, adapter = with_head(head, folder), adapters.build(name)
        adapter.attach(model, str(folder))
        stir(model)
        (tmp_path / head).mkdir()
        adapter.save(model, tmp_path / head)
        expected[head] = logits(model.eval(), head, ids, padding)
    shared = SharedBases()
    opened = {head: open_saved(tmp_path / head, build(head), shared=shared)[0].eval() for head in expected}
    for head, model in opened.items():
        torch.testing.assert_close(logits(model, head, ids, padding), expected[head])
    distinct = {id(p): p.numel() for model in opened.values() for p in model.parameters()}
    size = sum(
        p.numel() for name, p in encoder_of(opened["nested"]).named_parameters() if not p.requires_grad
    )
    trained = sum(p.numel() for model in opened.values() for p in model.parameters() if p.requires_grad)
    assert sum(distinct.values()) == size + trained


@pytest.mark.parametrize("head", ["flat", "nested"])
def test_flops_are_those_of_what_is_computed(base: Any, head: str) -> None:
    folder = base("bertinchamps")
    whole = with_head(head, folder)
    full = downstream_flops_per_token(whole, whole.model.config, 16)
    for parameter in (frozen := with_head(head, folder)).parameters():
        parameter.requires_grad_(True)
    next(iter(encoder_of(frozen).final_norm.parameters())).requires_grad_(False)  # so that a pass is counted
    assert downstream_flops_per_token(frozen, frozen.model.config, 16) == pytest.approx(full)
    adapters.build("lora").attach(whole, "x")
    with_lora = downstream_flops_per_token(whole, whole.model.config, 16)
    assert 0.6 * full < with_lora < 0.95 * full  # no gradients of frozen weights, but those of activations
    only_head = with_head(head, folder)
    encoder_of(only_head).requires_grad_(False)
    assert downstream_flops_per_token(only_head, only_head.model.config, 16) < 0.6 * full


def test_muon_trains_the_matrices_of_lora_alone(base: Any) -> None:
    model = with_head("flat", base("bertinchamps"))
    adapters.build("lora").attach(model, "x")
    matrices, *rest = muon(model).parts
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    of_muon = {names[id(p)] for group in matrices.param_groups for p in group["params"]}
    assert len(of_muon) == 2 * 3
    assert all("lora_" in name for name in of_muon)
    others = {names[id(p)] for part in rest for group in part.param_groups for p in group["params"]}
    assert others == {"model.classifier.weight", "model.classifier.bias"}


def test_without_peft_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertinchamps.model.adapters.injected.find_spec", lambda name: None)
    assert "bertinchamps[adapters]" in str(PeftAdapter().missing())
    assert adapters.build("none").missing() is None
