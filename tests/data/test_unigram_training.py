"""Training of Unigram vocabularies: as good as the library's, and the same each time."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE, Unigram
from tokenizers.trainers import BpeTrainer, UnigramTrainer

from bertinchamps.data.sources import sources
from bertinchamps.data.unigram_training import LONGEST, train_unigram

SIZE = 400


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [document.text for document in sources.build("demo", documents=300, seed=0).documents()]


@pytest.fixture(scope="module")
def words(texts: list[str]) -> Counter[str]:
    cut = pre_tokenizers.Metaspace()
    return Counter(word for text in texts for word, _ in cut.pre_tokenize_str(text))


def candidates(texts: list[str]) -> list[str]:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = BpeTrainer(vocab_size=4 * SIZE, max_token_length=LONGEST, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return list(tokenizer.get_vocab())


def pieces_of(tokenizer: Tokenizer, words: Counter[str]) -> int:
    return sum(count * len(tokenizer.model.tokenize(word)) for word, count in words.items())


def test_words_are_cut_about_as_well_as_by_the_trainer_of_the_library(
    texts: list[str], words: Counter[str]
) -> None:
    letters = frozenset(letter for word in words for letter in word)
    ours = train_unigram(words, candidates(texts), letters, SIZE)
    twin = Tokenizer(Unigram())
    twin.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = UnigramTrainer(
        vocab_size=SIZE + 1, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    twin.train_from_iterator(texts, trainer)
    assert len(ours) == SIZE
    assert letters <= ours.keys()
    assert 0.8 < sum(map(math.exp, ours.values())) <= 1
    own = Tokenizer(Unigram([("<unk>", -99.0), *ours.items()], unk_id=0))
    assert pieces_of(own, words) < 1.03 * pieces_of(twin, words)
    assert len(ours.keys() & twin.get_vocab().keys()) > 0.4 * SIZE


def test_pieces_that_save_nothing_are_dropped_and_letters_are_not() -> None:
    words = Counter({"\u2581la": 50, "\u2581toux": 20, "\u2581o": 1})
    letters = frozenset("\u2581latoux")
    found = train_unigram(words, ["\u2581la", "la", "\u2581l", "\u2581toux", "toux", "to", "zzz"], letters, 9)
    assert found.keys() - letters == {"\u2581la", "\u2581toux"}
    assert list(found)[:2] == ["\u2581la", "\u2581toux"]
