"""Tiny random encoders of four families with tokenizers of their kinds, as `from_pretrained` opens them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "Le patient présente une fièvre et une toux sèche depuis l'hiver.",
    "Traitement de l'insuffisance cardiaque par du furosémide, 40 mg par jour.",
    "Fracture du col du fémur ; la radiographie montre un œdème.",
    "Effets de l'aspirine (acide acétylsalicylique) sur le cœur et le foie.",
] * 5
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
FAMILIES = ("bert", "roberta", "camembert", "modernbert")


def make_encoder(family: str, folder: Path) -> Path:
    """Write config, random weights and tokenizer of one of FAMILIES into a folder."""
    torch.manual_seed(0)
    tokenizer = tokenizer_like(family)
    ids: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    if family == "bert":
        config: Any = transformers.BertConfig(**SIZES, **ids, max_position_embeddings=64)
        model: Any = transformers.BertForMaskedLM(config)
    elif family == "roberta":
        config = transformers.RobertaConfig(**SIZES, **ids, max_position_embeddings=66, type_vocab_size=1)
        model = transformers.RobertaForMaskedLM(config)
    elif family == "camembert":
        config = transformers.CamembertConfig(**SIZES, **ids, max_position_embeddings=66, type_vocab_size=1)
        model = transformers.CamembertForMaskedLM(config)
    else:
        special = {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
        config = transformers.ModernBertConfig(**SIZES, **ids, **special, max_position_embeddings=64)
        model = transformers.ModernBertForMaskedLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def mobile_bert() -> Any:
    """A model whose head has a part of its embedding's rows, and entries in columns beside them."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.MobileBertConfig(
        **sizes, vocab_size=50, embedding_size=16, intra_bottleneck_size=16
    )
    return transformers.MobileBertForMaskedLM(config).eval()


def tokenizer_like(family: str) -> Any:
    if family == "bert":
        special = {"unk": "[UNK]", "pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=list(special.values()), show_progress=False
        )
    else:
        special = {"unk": "<unk>", "pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
        if family == "camembert":
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.normalizer = normalizers.NFKC()
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=200, special_tokens=list(special.values()), unk_token="<unk>", show_progress=False
            )
        else:
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=400,
                special_tokens=list(special.values()),
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            )
    tokenizer.train_from_iterator(TEXTS, trainer)
    cls, sep = special["cls"], special["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1" if family == "bert" else f"{cls} $A {sep} {sep} $B {sep}",
        special_tokens=[(cls, tokenizer.token_to_id(cls)), (sep, tokenizer.token_to_id(sep))],
    )
    names = (
        ["input_ids", "token_type_ids", "attention_mask"]
        if family == "bert"
        else ["input_ids", "attention_mask"]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=names,
        **{f"{name}_token": token for name, token in special.items()},
    )
