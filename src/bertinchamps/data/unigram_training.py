"""A Unigram vocabulary (Kudo, 2018, *Subword Regularization*, section 3.2), trained on counts of words.

From many candidates to the vocabulary, by turns: how likely pieces are is estimated anew, and those whose loss costs
the texts least are dropped. Estimates are counts of the likeliest cut of each word (hard EM), whole numbers whose sum
is the same in any order. The library's trainer adds up fractions in the order of a randomly seeded hash table, so each
process gets other last digits and another order of entries, and with them another digest of the corpus.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from tokenizers import Tokenizer
from tokenizers.models import Unigram

from bertinchamps.data.vocabulary_training import most_frequent

# As SentencePiece has them, except for the words, which it does not count one by one.
LONGEST = 16  # characters of a piece
SHRINKING, ESTIMATES, SPARE = (
    0.75,
    2,
    1.1,
)  # of candidates kept, between two cuts; pieces that the last one leaves
MOST_WORDS = 500_000  # distinct ones that are cut
AT_ONCE = 10_000  # words in a call of the tokenizer
LEAST = 0.5  # occurrences of a piece that no word was cut into and that stays
UNKNOWN = "<unk>"


def train_unigram(
    words: Counter[str], candidates: Iterable[str], letters: Collection[str], size: int
) -> dict[str, float]:
    """Pieces with their log-likelihoods, likeliest first.

    Args:
        words: with their occurrences, as the pre-tokenizer gives them.
        candidates: pieces that may stay.
        letters: pieces of one character, which stay in any case.
        size: entries; fewer, if words are not cut into so many.
    """
    known = {word: words[word] for word in most_frequent(words, MOST_WORDS)}
    scores = _scored(_seen(known, candidates, letters))
    most = max(size, int(SPARE * size))
    while True:
        for _ in range(ESTIMATES):
            taken = _taken(known, scores)
            few = len(scores) <= most
            counts = {piece: taken[piece] for piece in scores if few or taken[piece] or piece in letters}
            scores = _scored(counts)
        if few or len(scores) <= most:
            break
        scores = _cheapest_dropped(scores, counts, letters, max(most, int(SHRINKING * len(scores))))
    best = sorted(scores, key=lambda piece: (piece not in letters, -scores[piece], piece))[:size]
    return {piece: scores[piece] for piece in sorted(best, key=lambda piece: (-scores[piece], piece))}


def _seen(words: Mapping[str, int], candidates: Iterable[str], letters: Collection[str]) -> dict[str, int]:
    """The candidates that words hold, with occurrences × length, by which they are likely at first."""
    known = {
        piece for piece in candidates if len(piece) <= LONGEST and all(char in letters for char in piece)
    }
    found: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + LONGEST) + 1):
                piece = word[start:end]
                if piece in known or piece in letters:
                    found[piece] += count * (end - start)
    return {piece: found[piece] for piece in sorted({*found, *letters})}


def _scored(counts: Mapping[str, float]) -> dict[str, float]:
    """Log-likelihoods; a piece that was never taken counts as half an occurrence."""
    total = math.log(sum(max(count, LEAST) for count in counts.values()))
    return {piece: math.log(max(count, LEAST)) - total for piece, count in counts.items()}


def _taken(words: Mapping[str, int], scores: Mapping[str, float]) -> Counter[str]:
    """How often each piece is in the likeliest cuts of all words."""
    pieces = list(scores)
    lowest = min(scores.values())
    tokenizer = Tokenizer(Unigram([(UNKNOWN, lowest), *scores.items()], unk_id=0))
    taken: Counter[int] = Counter()
    listed = list(words)
    for start in range(0, len(listed), AT_ONCE):
        some = listed[start : start + AT_ONCE]
        for word, encoding in zip(some, tokenizer.encode_batch(some, add_special_tokens=False), strict=True):
            for index in encoding.ids:
                taken[index] += words[word]
    return Counter({pieces[index - 1]: count for index, count in taken.items() if index})


def _cheapest_dropped(
    scores: Mapping[str, float], counts: Mapping[str, float], letters: Collection[str], number: int
) -> dict[str, float]:
    """So many pieces: the letters, and those without which the texts would be least likely.

    Without a piece, each of its occurrences would be cut into others, the likeliest ones.
    """
    loss = {
        piece: counts[piece] * (scores[piece] - _without(piece, scores))
        for piece in scores
        if piece not in letters
    }
    dearest = sorted(loss, key=lambda piece: (-loss[piece], piece))[: max(0, number - len(letters))]
    kept = {*letters, *dearest}
    return {piece: score for piece, score in scores.items() if piece in kept}


def _without(piece: str, scores: Mapping[str, float]) -> float:
    """The log-likelihood of a piece's likeliest cut into other pieces; its letters are pieces."""
    best = [0.0, *([-math.inf] * len(piece))]
    for end in range(1, len(piece) + 1):
        for start in range(end):
            score = scores.get(piece[start:end])
            if score is not None and end - start < len(piece):
                best[end] = max(best[end], best[start] + score)
    return best[-1]
