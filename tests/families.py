"""Tiny random masked language models of many families, each with a tokenizer of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tiny_encoders import FAMILIES, SIZES, TEXTS, make_encoder, tokenizer_like

LENGTH = 64
OTHERS = {  # family → the one of FAMILIES whose tokenizer it has
    "xlm-roberta": "camembert",
    "distilbert": "bert",
    "deberta-v2": "camembert",
    "electra": "bert",
    "flaubert": "bert",
    "albert": "camembert",
}
WORDS = ("le", "la", "de", "et", "une")
ALL = (*FAMILIES, *OTHERS)


def make_masked_lm(family: str, folder: Path, entries: int = 0) -> Path:
    """Write config, random weights and tokenizer of a family into a folder; `entries`: of the vocabulary, at least."""
    if family in FAMILIES:
        return make_encoder(family, folder)
    torch.manual_seed(0)
    tokenizer = tokenizer_like(OTHERS[family])
    if entries > len(tokenizer):
        tokenizer = _widened(tokenizer, entries)
    ids: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    config, model = _parts(family, ids)
    model(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_tokens_at_the_end(folder: Path) -> Path:
    """A base whose special tokens are outside of the vocabulary, behind it, as ModernBERT's are."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_tokens([AddedToken("|||NOM|||", normalized=False)])
    names = ("unk", "pad", "cls", "sep", "mask")
    tokenizer.add_special_tokens([f"[{name.upper()}]" for name in names])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": f"[{name.upper()}]" for name in names}
    )
    torch.manual_seed(0)
    ids = {f"{name}_token_id": getattr(whole, f"{name}_token_id") for name in ("pad", "cls", "sep")}
    config = transformers.ModernBertConfig(
        **SIZES,
        **ids,
        bos_token_id=whole.cls_token_id,
        eos_token_id=whole.sep_token_id,
        vocab_size=len(whole),
        max_position_embeddings=64,
    )
    transformers.ModernBertForMaskedLM(config).save_pretrained(folder)
    whole.save_pretrained(folder)
    return folder


def _parts(family: str, ids: dict[str, Any]) -> tuple[Any, Any]:
    """Configuration and class of a family."""
    if family == "xlm-roberta":
        longest = LENGTH + 2
        config: Any = transformers.XLMRobertaConfig(**SIZES, **ids, max_position_embeddings=longest)
        return config, transformers.XLMRobertaForMaskedLM
    if family == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
        config = transformers.DistilBertConfig(**sizes, **ids, max_position_embeddings=LENGTH)
        return config, transformers.DistilBertForMaskedLM
    if family == "deberta-v2":
        relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8}
        config = transformers.DebertaV2Config(**SIZES, **ids, **relative, max_position_embeddings=LENGTH)
        return config, transformers.DebertaV2ForMaskedLM
    if family == "electra":
        config = transformers.ElectraConfig(**SIZES, **ids, embedding_size=16, max_position_embeddings=LENGTH)
        return config, transformers.ElectraForMaskedLM
    if family == "flaubert":
        sizes = {"emb_dim": 32, "n_layers": 2, "n_heads": 2}
        names = {
            "n_words": ids["vocab_size"],
            "pad_index": ids["pad_token_id"],
            "pad_token_id": ids["pad_token_id"],
        }
        config = transformers.FlaubertConfig(**sizes, **names, max_position_embeddings=LENGTH)
        return config, transformers.FlaubertWithLMHeadModel
    config = transformers.AlbertConfig(**SIZES, **ids, embedding_size=16, max_position_embeddings=LENGTH)
    return config, transformers.AlbertForMaskedLM


def _widened(tokenizer: Any, entries: int) -> Any:
    """A Unigram tokenizer with common words of the demo at the end of a vocabulary of so many entries."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    fillers = [[f"\u2581<{n}>", -30.0] for n in range(entries - len(vocabulary) - len(WORDS))]
    state["model"]["vocab"] = [*vocabulary, *fillers, *([f"\u2581{word}", -1.0] for word in WORDS)]
    names = {
        f"{name}_token": getattr(tokenizer, f"{name}_token") for name in ("unk", "pad", "cls", "sep", "mask")
    }
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


def with_head_of_microsoft(base: Path, **settings: Any) -> None:
    """Give the head of a saved DeBERTa the names that Microsoft's checkpoints have; `settings` of its config.json."""
    weights = load_file(base / "model.safetensors")
    names = {
        name: name.replace("cls.predictions.transform.", "lm_predictions.lm_head.").replace(
            "cls.predictions.bias", "lm_predictions.lm_head.bias"
        )
        for name in weights
    }
    renamed = {names[name]: part for name, part in weights.items() if "decoder" not in name}
    renamed["mask_predictions.dense.weight"] = torch.ones(2, 2)  # of detection, which no class has
    save_file(renamed, base / "model.safetensors", {"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    config = {name: value for name, value in config.items() if name not in ("legacy", "architectures")}
    (base / "config.json").write_text(json.dumps({**config, **settings}))


def draw_biases_of_entries(base: Path) -> None:
    """Give a saved model random biases of its entries, which are zeros in a new one."""
    model: Any = transformers.AutoModelForMaskedLM.from_pretrained(base)
    for weights in model.parameters():
        if weights.shape == (model.config.vocab_size,):
            torch.nn.init.normal_(weights)
    model.save_pretrained(base)
