"""WordPiece tokenizers for French: trained on a bounded sample, saved as what `AutoTokenizer` opens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, processors
from tokenizers.models import WordPiece

from bertinchamps.data.continuations import CONTINUATION
from bertinchamps.data.normalizers import normalizers_by_name
from bertinchamps.data.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK
from bertinchamps.data.vocabulary_training import Sample, sample_of, train_word_pieces
from bertinchamps.data.word_cutting import word_cutter
from bertinchamps.schemas import TokenizerConfig


def train_tokenizer(
    config: TokenizerConfig, texts: Iterator[str], folder: Path, tell: Callable[[str], None]
) -> None:
    """Train a WordPiece tokenizer and save it into an existing directory: same texts, same bytes.

    Memory is bounded by the sample's distinct words, whatever the corpus holds. The texts are read
    once; the sample waits on disk, in a file without a name, since training goes over it twice.

    Args:
        config: normaliser, where words end, vocabulary size, sample size.
        texts: the sample; read until `sample_characters` are reached.
        folder: where tokenizer.json and tokenizer_config.json go.
        tell: shown progress.

    Raises:
        UserError: there are no texts.
    """
    with sample_of(texts, config.sample_characters, folder) as sample:
        tokenizer = _trained(config, sample)
    entries = tokenizer.get_vocab_size()
    fewer = (
        ""
        if entries >= config.vocab_size
        else f" (tokenizer.vocab_size={config.vocab_size}: they hold no more)"
    )
    tell(f"tokenizer: {entries:,} entries from {sample.characters:,} characters{fewer}")
    cls_id, sep_id = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(CLS, cls_id), (SEP, sep_id)],
    )
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    write_tokenizer_config(folder, config.normalizer)


def _untrained(config: TokenizerConfig) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers_by_name.build(config.normalizer)
    tokenizer.pre_tokenizer = word_cutter(config.split_digits, config.join_elisions)
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return tokenizer


def _trained(config: TokenizerConfig, sample: Sample) -> Tokenizer:
    """A tokenizer whose letters, special tokens to the trainer, are ordinary entries."""
    tokenizer, _ = train_word_pieces(
        lambda: _untrained(config),
        CONTINUATION,
        sample,
        config.vocab_size,
        config.min_frequency,
        SPECIAL_TOKENS,
    )
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in SPECIAL_TOKENS]
    return Tokenizer.from_str(json.dumps(state))


def write_tokenizer_config(folder: Path, normalizer: str) -> None:
    """The file by which `AutoTokenizer` knows how to open tokenizer.json."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 512,
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bertinchamps_normalizer": normalizer,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
