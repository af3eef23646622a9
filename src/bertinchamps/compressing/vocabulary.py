"""A tokenizer with fewer entries: the content of tokenizer.json, rewritten.

Texts whose pieces are all kept are cut into the same pieces as before:

    WordPiece   the longest entry that fits is taken; an entry that was never taken changes nothing when it is gone
    BPE         merges build a piece in the same order wherever it stands; the parts that a kept piece is built from are
                kept, and with them each merge of kept parts
    Unigram     the likeliest cut is still there, and no likelier one comes in; the unlikeliest entry stays, as the
                tokenizer scores unknown text by it
    WordLevel   words are looked up

Kept in any case: added and special tokens, the unknown token, bytes, and whatever no merge builds or is one character
long, so that any text that could be cut still can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

from bertinchamps.data.tokenizer_json import Content, ids_in, with_renewed_ids
from bertinchamps.errors import UserError

BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def trimmed(content: Content, used: Iterable[str]) -> tuple[Content, list[int]]:
    """The tokenizer with the used pieces and those that are kept in any case.

    Args:
        content: of tokenizer.json; it is not changed.
        used: pieces of texts.

    Returns:
        The new content, and for each new id the old one, ascending: the order of entries stays.

    Raises:
        UserError: a tokenizer of another type.
    """
    model = content["model"]
    kind = model.get("type")
    if kind not in KEEPERS:
        raise UserError(f"steps: trim knows {', '.join(KEEPERS)} tokenizers, and this one is {kind}")
    ids = ids_in(content)
    added = {token["content"] for token in content.get("added_tokens", ())}
    wanted = {*used, *added, model.get("unk_token")} & ids.keys()
    wanted |= {piece for piece in ids if BYTE.fullmatch(piece)}
    kept = KEEPERS[kind](model, wanted)
    old = sorted({ids[piece] for piece in kept | (added & ids.keys())})
    return _rewritten(content, {before: after for after, before in enumerate(old)}, kept), old


def _word_pieces(model: Content, wanted: set[str]) -> set[str]:
    prefix, vocabulary = model["continuing_subword_prefix"], model["vocab"]
    kept = wanted | {piece for piece in vocabulary if len(piece.removeprefix(prefix)) == 1}

    def can_be_cut(piece: str) -> bool:
        """Whether the longest entries that fit cover a piece, as they would in a word."""
        first, rest = ("", piece) if not piece.startswith(prefix) else (prefix, piece.removeprefix(prefix))
        while rest:
            end = next((at for at in range(len(rest), 0, -1) if first + rest[:at] in kept), 0)
            if not end:
                return False
            first, rest = prefix, rest[end:]
        return True

    # short ones first: they may be what longer ones are cut into
    for piece in sorted(vocabulary, key=lambda each: len(each.removeprefix(prefix))):
        if piece not in kept and not can_be_cut(piece):
            kept.add(piece)
    return kept


def _merged_pieces(model: Content, wanted: set[str]) -> set[str]:
    ranks = {tuple(_parts(merge)): rank for rank, merge in enumerate(model["merges"])}
    prefix = model.get("continuing_subword_prefix") or ""
    built = {left + right.removeprefix(prefix) for left, right in ranks}
    kept = {piece for piece in model["vocab"] if piece not in built} | wanted
    for piece in wanted & built:
        kept |= _built_from(piece, ranks, prefix, model)
    return kept


def _built_from(piece: str, ranks: Mapping[tuple[str, ...], int], prefix: str, model: Content) -> set[str]:
    """The parts that merges build on the way to a piece."""
    suffix = model.get("end_of_word_suffix") or ""
    body = piece.removesuffix(suffix) if suffix else piece
    parts = list(body)
    if prefix and body.startswith(prefix):
        parts = [prefix + body[len(prefix)], *body[len(prefix) + 1 :]]
    parts = [parts[0], *(prefix + part for part in parts[1:])] if prefix else parts
    if suffix and piece.endswith(suffix):
        parts[-1] += suffix
    found = set(parts)
    while len(parts) > 1:
        pairs = [(ranks.get((left, right)), at) for at, (left, right) in enumerate(pairwise(parts))]
        known = [(rank, at) for rank, at in pairs if rank is not None]
        if not known:  # a whole word that is looked up (ignore_merges)
            break
        _, at = min(known)
        parts[at : at + 2] = [parts[at] + parts[at + 1].removeprefix(prefix)]
        found.add(parts[at])
    known_pieces: set[str] = found & model["vocab"].keys()
    return known_pieces


def _likely_pieces(model: Content, wanted: set[str]) -> set[str]:
    vocabulary = model["vocab"]
    least = min(vocabulary, key=lambda entry: float(entry[1]))[0]
    unknown = [] if model.get("unk_id") is None else [vocabulary[model["unk_id"]][0]]
    return wanted | {piece for piece, _ in vocabulary if len(piece) == 1} | {least, *unknown}


def _words(model: Content, wanted: set[str]) -> set[str]:
    return wanted | {word for word in model["vocab"] if len(word) == 1}


Keeper = Callable[[Content, set[str]], set[str]]
KEEPERS: Mapping[str, Keeper] = {
    "WordPiece": _word_pieces,
    "BPE": _merged_pieces,
    "Unigram": _likely_pieces,
    "WordLevel": _words,
}


def _parts(merge: Any) -> list[str]:
    """A merge of tokenizer.json: two parts, or both with a blank between them in older files."""
    return merge.split(" ", 1) if isinstance(merge, str) else list(merge)


def _rewritten(content: Content, new: Mapping[int, int], kept: set[str]) -> Content:
    """The content with its entries selected and all ids renewed."""
    model = dict(content["model"])
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        model["vocab"] = [entry for at, entry in enumerate(vocabulary) if at in new]
    else:
        model["vocab"] = {piece: new[at] for piece, at in vocabulary.items() if at in new}
    if model.get("unk_id") is not None:
        model["unk_id"] = new[model["unk_id"]]
    if "merges" in model:
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [merge for merge in model["merges"] if _stays(_parts(merge), kept, prefix)]
    return with_renewed_ids({**content, "model": model}, new)


def _stays(parts: list[str], kept: set[str], prefix: str) -> bool:
    left, right = parts
    return {left, right, left + right.removeprefix(prefix)} <= kept
