"""`tokenizer.extend=N`: whole words that the documents need most become entries of a tokenizer that exists.

    CACHE/tokenizers/DIGEST/   the base's files without lists of its vocabulary; tokenizer.json with the new entries
                               extension.json: the base's ids of which each new entry consists

A word enters the model's own vocabulary, with the mark of a word's beginning, so offsets, decoding and whole-word masks
are those of any other entry. Texts in which no word begins as a new one does are tokenised as before. Entries of
`tokenizers` that are added outside of the vocabulary would have none of this: they swallow or lose the blank before.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers

from bertinchamps.console import Tell
from bertinchamps.contract import Document
from bertinchamps.data.corpus import read_whole
from bertinchamps.data.tokenizer import files_that_open, open_tokenizer, roles_of
from bertinchamps.data.vocabulary_training import normalized
from bertinchamps.durable import write_sealed
from bertinchamps.errors import UserError
from bertinchamps.schemas import TokenizerConfig

FILE = "extension.json"
WORD = re.compile(r"[^\W\d_]{2,}")
# Files of other programs that list the vocabulary, which would not have the new entries.
LISTS = {
    "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "dict.txt", "sentencepiece.bpe.model", "spiece.model",
    "spm.model",
}  # fmt: skip


def extend_tokenizer(
    base: Path,
    config: TokenizerConfig,
    documents: Iterable[Document],
    is_held_out: Callable[[Document], bool],
    folder: Path,
    tell: Tell,
) -> None:
    """Write a tokenizer with the words of documents that save most pieces: occurrences × (pieces of the word - 1).

    A word with an unknown letter is charged a piece for each letter.

    Args:
        base: directory of the tokenizer.
        config: `extend`, `min_frequency` and `sample_characters`.
        documents: cleaned; those held out say how many pieces a word has before and after, and give no entry.
        is_held_out: whether a document is.
        folder: to write into.
        tell: shown progress.

    Raises:
        UserError: the tokenizer is of another kind than WordPiece, Unigram and byte-level BPE; or its class in
            transformers loses the new entries.
    """
    tokenizer = open_tokenizer(base)
    mark = mark_of(tokenizer, base, "extend")
    counts: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    characters = 0
    for document in documents:
        text = normalized(tokenizer, document.text)
        counts[is_held_out(document)].update(WORD.findall(text))
        characters += len(text)
        if characters >= config.sample_characters:
            break
    words = _most_needed(tokenizer, mark, counts[False], config.min_frequency, int(config.extend or 0))
    state, parts = _extended(tokenizer, base, [mark(word) for word in words])
    for name in files_that_open(base):
        if name not in LISTS:
            shutil.copyfile(base / name, folder / name)
    (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False), encoding="utf-8")
    write_sealed(folder / FILE, {"parts": parts})
    opened = open_tokenizer(folder)
    stay = tokenizer.get_vocab().items() <= opened.get_vocab().items()
    if not stay or any(len(_pieces(opened, mark(word))) != 1 for word in words):
        raise UserError(
            f"tokenizer.extend: transformers opens the tokenizer of {base} without its new entries, or with other "
            "ids; leave it out"
        )
    measured = counts[True] or counts[False]
    tell(f"tokenizer: {len(parts):,} new entries from {characters:,} characters")
    tell_pieces(tokenizer, opened, mark, measured, bool(counts[True]), tell)


def read_parts(folder: Path) -> dict[int, list[int]]:
    """The ids of which each new id of an extended tokenizer consists; empty: it is no extended one.

    Raises:
        UserError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return {}
    return {int(new): list(old) for new, old in read_whole(folder / FILE)["parts"].items()}


def mark_of(tokenizer: Tokenizer, base: Path, key: str) -> Callable[[str], str]:
    """How a word is written that a blank precedes.

    Args:
        tokenizer: of the base.
        base: its directory, for the message.
        key: of the setting that changes the vocabulary, "extend" or "replace".

    Raises:
        UserError: it is of another kind than WordPiece, Unigram and byte-level BPE.
    """
    kind = type(tokenizer.model).__name__
    if kind == "WordPiece":
        return lambda word: word
    if kind == "Unigram":
        return lambda word: f"\u2581{word}"
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if kind == "BPE" and "ByteLevel" in str(tokenizer.pre_tokenizer):
        return lambda word: "".join(piece for piece, _ in bytes_of.pre_tokenize_str(f" {word}"))
    raise UserError(
        f"tokenizer.{key}: the tokenizer in {base} is {kind}, and WordPiece, Unigram and byte-level BPE can be "
        f"{key.removesuffix('e')}ed; leave it out"
    )


def _pieces(tokenizer: Tokenizer, piece: str) -> list[int]:
    return [token.id for token in tokenizer.model.tokenize(piece)]


def _most_needed(
    tokenizer: Tokenizer, mark: Callable[[str], str], counts: Counter[str], least: int, number: int
) -> list[str]:
    """The words that save most pieces, ties in the order of the alphabet; those that are one piece need no entry."""
    unknown = roles_of(tokenizer).unknown

    def saved_by(word: str) -> int:
        pieces = _pieces(tokenizer, mark(word))
        return counts[word] * ((len(word) if unknown in pieces else len(pieces)) - 1)

    saved = {word: saved_by(word) for word, count in counts.items() if count >= least}
    ordered = sorted((word for word, pieces in saved.items() if pieces > 0), key=lambda w: (-saved[w], w))
    return ordered[:number]


def _extended(tokenizer: Tokenizer, base: Path, words: list[str]) -> tuple[Any, dict[int, list[int]]]:
    """The state of the tokenizer with the words, as tokenizer.json has it, and the parts of each new id."""
    state = json.loads((base / "tokenizer.json").read_bytes())
    model, free = state["model"], max(tokenizer.get_vocab().values()) + 1
    parts = {word: _pieces(tokenizer, word) for word in words}
    if type(tokenizer.model).__name__ == "Unigram":
        added = _unigram(model["vocab"], parts, tokenizer, free)
    else:
        added = _merged(model, parts, tokenizer) if "merges" in model else parts
        # Added tokens outside of the vocabulary are numbered behind it when it is opened, so they go into it.
        model["vocab"] |= tokenizer.get_vocab() | {piece: free + place for place, piece in enumerate(added)}
    return state, {free + place: old for place, old in enumerate(added.values())}


def _unigram(
    vocabulary: list[list[Any]], parts: dict[str, list[int]], tokenizer: Tokenizer, free: int
) -> dict[str, list[int]]:
    """Add pieces to a Unigram vocabulary, whose ids are places; each is as likely as the rarest of its parts."""
    rarest = min(score for _, score in vocabulary)
    for index in range(len(vocabulary), free):  # ids of added tokens behind the vocabulary stay theirs
        vocabulary.append([tokenizer.id_to_token(index) or f"<{index}>", rarest])
    scores = {index: score for index, (_, score) in enumerate(vocabulary)}
    vocabulary.extend([word, min(scores[index] for index in old)] for word, old in parts.items())
    return parts


def _merged(model: dict[str, Any], parts: dict[str, list[int]], tokenizer: Tokenizer) -> dict[str, list[int]]:
    """Add merges behind all others, from left to right, so that the parts of each word become one; what lies between
    is an entry as well.
    """
    added: dict[str, list[int]] = {}
    known = set(model["vocab"])
    listed = bool(model["merges"]) and isinstance(model["merges"][0], list)
    for old in parts.values():
        pieces = [str(tokenizer.id_to_token(index)) for index in old]
        for place in range(1, len(pieces)):
            left = "".join(pieces[:place])
            merged = left + pieces[place]
            if merged not in known and merged not in added:
                model["merges"].append([left, pieces[place]] if listed else f"{left} {pieces[place]}")
                added[merged] = old[: place + 1]
    return added


def tell_pieces(
    before: Tokenizer,
    after: Tokenizer,
    mark: Callable[[str], str],
    counts: Counter[str],
    held_out: bool,
    tell: Tell,
) -> None:
    """Tell how many pieces a word has in two tokenizers.

    Args:
        before: of the base.
        after: with another vocabulary.
        mark: of `mark_of`.
        counts: of words, as the normalizer writes them.
        held_out: whether they are of held-out documents.
        tell: shown the line.
    """
    old, new = (_pieces_a_word(each, mark, counts) for each in (before, after))
    where = "held-out" if held_out else "its"
    tell(f"tokenizer  {old:.2f} → {new:.2f} pieces a word on {where} documents")


def _pieces_a_word(tokenizer: Tokenizer, mark: Callable[[str], str], counts: Counter[str]) -> float:
    total = sum(count * len(_pieces(tokenizer, mark(word))) for word, count in counts.items())
    return total / max(1, sum(counts.values()))
