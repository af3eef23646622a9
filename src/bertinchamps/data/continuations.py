"""Which pieces of a vocabulary continue a word: WordPiece marks these, other kinds mark the ones that begin a word.

    WordPiece             patient ##s          a mark on what continues a word (## or the tokenizer's own)
    Unigram, BPE          ▁patient s           a mark on what begins a word after a space
    byte-level BPE        Ġpatient s           the same, with the letter that stands for the byte of a space

Of the last two, a piece without letters and digits, such as a comma, stands alone; it begins a word of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tokenizers import Tokenizer

CONTINUATION = "##"  # of WordPiece
WORD_STARTS = ("\N{LOWER ONE EIGHTH BLOCK}", "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}")
LEAST_SHARE = 0.05  # of the entries with a mark, where it is a convention and no letter of some script


def continuations_of(tokenizer: Tokenizer, special: Collection[int]) -> tuple[int, ...]:
    """Ids of the pieces that continue a word, sorted; none where the tokenizer does not mark words.

    Args:
        tokenizer: of any kind.
        special: ids of special tokens, which continue nothing.
    """
    entries: Mapping[str, int] = tokenizer.get_vocab()
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or CONTINUATION
    found = sorted(index for piece, index in entries.items() if piece.startswith(prefix))
    if found:
        return tuple(found)
    for mark in WORD_STARTS:
        if sum(piece.startswith(mark) for piece in entries) >= LEAST_SHARE * len(entries):
            return tuple(
                sorted(
                    index
                    for piece, index in entries.items()
                    if index not in special and not piece.startswith(mark) and _has_letters(piece)
                )
            )
    return ()


def _has_letters(piece: str) -> bool:
    """Whether a piece has a letter or a digit; a byte beyond ASCII is a part of a letter, as a rule."""
    return any(letter.isalnum() for letter in piece)
