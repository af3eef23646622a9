"""Tiny random masked language models of many families, each with a tokenizer of its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer

from tiny_encoders import FAMILIES, SIZES, make_encoder, tokenizer_like

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
