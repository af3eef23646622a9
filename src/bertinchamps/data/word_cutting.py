"""Where a tokenizer cuts a text into words, before it cuts words into pieces."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, pre_tokenizers

# What French elides before a vowel, with its apostrophe: l', d', qu', jusqu', lorsqu', puisqu', quoiqu', …
_ELISION = r"(?<![\p{L}\p{M}\p{N}_])(?i:[cdjlmnst]|(?:jus|lors|puis|quoi)?qu)'(?=\p{L})"
_PUNCTUATION = (
    r"[!-/:-@\[-`{-~\p{P}]"  # as BERT has it: symbols of ASCII are punctuation, ° and € are letters
)


def word_cutter(split_digits: bool, join_elisions: bool) -> Any:
    """A pre-tokenizer: BERT's, which cuts at blanks and around each punctuation mark, with up to two changes.

    Args:
        split_digits: each digit is a word, so that a number has as many pieces as digits.
        join_elisions: an elided word keeps its apostrophe (`l'` and not `l`, `'`), as spaCy's French words do.
    """
    words: Any = pre_tokenizers.BertPreTokenizer()
    if join_elisions:
        marks = pre_tokenizers.Split(Regex(f"{_ELISION}|{_PUNCTUATION}"), "isolated")
        words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), marks])
    digits = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    return pre_tokenizers.Sequence([words, *digits]) if digits else words
