"""A vocabulary for documents of the kind that a tokenizer has, by its normalizer and pre-tokenizer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, models
from tokenizers.trainers import BpeTrainer

from bertinchamps.data.unigram_training import LONGEST, train_unigram
from bertinchamps.data.vocabulary_training import (
    ALPHABET_LIMIT,
    Sample,
    most_frequent,
    normalized,
    train_byte_merges,
    train_word_pieces,
)
from bertinchamps.schemas import TokenizerConfig

CANDIDATES = 4  # pieces of Unigram at first, for each that stays


@dataclass(frozen=True)
class Trained:
    """A new vocabulary.

    Attributes:
        pieces: those first that matter most.
        letters: number of those that are needed in any case, of one letter or byte.
        merges: of BPE, in order.
        scores: log-likelihoods of Unigram.
    """

    pieces: list[str]
    letters: int
    merges: list[tuple[str, str]] = field(default_factory=list)
    scores: Mapping[str, float] = field(default_factory=dict)


def train_as(
    tokenizer: Tokenizer, sample: Sample, config: TokenizerConfig, staying: Collection[str]
) -> Trained:
    """Train a vocabulary of a tokenizer's kind: WordPiece, BPE of bytes, or Unigram.

    Args:
        tokenizer: its model is left as it is.
        sample: not read yet.
        config: `replace` is the number of entries, with those that stay; `min_frequency`.
        staying: entries that the new vocabulary gets in any case, and that need not be trained.

    Raises:
        UserError: there are no texts.
    """
    return TRAINERS[type(tokenizer.model).__name__](tokenizer, sample, config, staying)


def _word_pieces(
    tokenizer: Tokenizer, sample: Sample, config: TokenizerConfig, staying: Collection[str]
) -> Trained:
    model = tokenizer.model
    trained, letters = train_word_pieces(
        lambda: _untrained(tokenizer, models.WordPiece(unk_token=model.unk_token)),
        model.continuing_subword_prefix,
        sample,
        int(config.replace or 0),
        config.min_frequency,
    )
    pieces = [piece for piece in _by_id(trained.get_vocab()) if piece not in staying]
    return Trained(pieces, len(letters))


def _byte_merges(
    tokenizer: Tokenizer, sample: Sample, config: TokenizerConfig, staying: Collection[str]
) -> Trained:
    trained, letters = train_byte_merges(
        lambda: _untrained(tokenizer, models.BPE()), sample, int(config.replace or 0), config.min_frequency
    )
    model = json.loads(trained.to_str())["model"]
    pieces = [piece for piece in _by_id(model["vocab"]) if piece not in staying]
    return Trained(pieces, len(letters), merges=[_pair(merge) for merge in model["merges"]])


def _likely_pieces(
    tokenizer: Tokenizer, sample: Sample, config: TokenizerConfig, staying: Collection[str]
) -> Trained:
    """The candidates are merges of the documents, and the base's own pieces."""
    words: Counter[str] = Counter()
    for texts in sample.read():
        for text in texts:
            found = tokenizer.pre_tokenizer.pre_tokenize_str(normalized(tokenizer, text))
            words.update(word for word, _ in found)
    sample.refuse_empty()
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for letter in word:
            counts[letter] += count
    letters = sorted(set(most_frequent(counts, ALPHABET_LIMIT)).difference(staying))
    size = int(config.replace or 0) - len(staying)
    if size < len(letters):  # too few, as the caller sees
        return Trained(letters, len(letters))
    merging = _untrained(tokenizer, models.BPE())
    trainer = BpeTrainer(
        vocab_size=CANDIDATES * size,
        min_frequency=config.min_frequency,
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        max_token_length=LONGEST,
        show_progress=False,
    )
    merging.train_from_iterator(sample, trainer)
    candidates = {*merging.get_vocab(), *tokenizer.get_vocab()}.difference(staying)
    scores = train_unigram(words, candidates, frozenset(letters), size)
    return Trained(list(scores), len(letters), scores=scores)


Trainer = Callable[[Tokenizer, Sample, TokenizerConfig, Collection[str]], Trained]
TRAINERS: Mapping[str, Trainer] = {
    "WordPiece": _word_pieces,
    "BPE": _byte_merges,
    "Unigram": _likely_pieces,
}


def _untrained(tokenizer: Tokenizer, model: Any) -> Tokenizer:
    """A tokenizer that cuts texts into the same words, and words into nothing yet."""
    new = Tokenizer(model)
    if tokenizer.normalizer is not None:
        new.normalizer = tokenizer.normalizer
    new.pre_tokenizer = tokenizer.pre_tokenizer
    return new


def _by_id(entries: Mapping[str, int]) -> list[str]:
    return sorted(entries, key=entries.__getitem__)


def _pair(merge: Any) -> tuple[str, str]:
    """A merge of tokenizer.json: two parts, or both with a blank between them in older versions of the library."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right
