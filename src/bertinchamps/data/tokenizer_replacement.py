"""`tokenizer.replace=N`: a vocabulary of N entries for the documents, in a tokenizer that exists.

    CACHE/tokenizers/DIGEST/   the base's files without lists of its vocabulary; tokenizer.json with the new one
                               replacement.json: the base's ids of which each entry consists

Normalizer, pre-tokenizer, post-processor and the kind of model stay, and so do special and other added tokens, with
their ids: positions of RoBERTa are counted from the id of its padding, and classes of transformers look for some tokens
at their old places. A token whose id is beyond the new vocabulary moves to its end.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from bertinchamps.console import Tell
from bertinchamps.contract import Document
from bertinchamps.data.corpus import read_whole
from bertinchamps.data.retraining import Trained, train_as
from bertinchamps.data.tokenizer import files_that_open, open_tokenizer, roles_of
from bertinchamps.data.tokenizer_extension import LISTS, WORD, mark_of, tell_pieces
from bertinchamps.data.tokenizer_json import Content, with_renewed_ids
from bertinchamps.data.vocabulary_training import Sample, normalized, sample_of
from bertinchamps.durable import write_sealed
from bertinchamps.errors import UserError
from bertinchamps.fingerprints import canonical, digest
from bertinchamps.schemas import TokenizerConfig

FILE = "replacement.json"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # of Unigram, for text without a piece


@dataclass(frozen=True)
class Replacement:
    """How a tokenizer came from that of a base.

    Attributes:
        base: digest of the base's entries and ids (`digest_of_entries`).
        parts: for each id the base's ids of which the entry consists.
        moved: old ids of special and added tokens that have another one → new ids.
    """

    base: str
    parts: Sequence[Sequence[int]]
    moved: Mapping[int, int]


def replace_tokenizer(
    base: Path,
    config: TokenizerConfig,
    documents: Iterable[Document],
    is_held_out: Callable[[Document], bool],
    folder: Path,
    tell: Tell,
) -> None:
    """Write a tokenizer of the base's kind with a vocabulary of the documents.

    Args:
        base: directory of the tokenizer.
        config: `replace`, `min_frequency` and `sample_characters`.
        documents: cleaned; those held out say how many pieces a word has before and after, and train nothing.
        is_held_out: whether a document is.
        folder: to write into.
        tell: shown progress.

    Raises:
        UserError: the tokenizer is of another kind than WordPiece, Unigram and byte-level BPE; there are no texts; N is
            too small for what stays; or its class in transformers opens another vocabulary than was written.
    """
    tokenizer = open_tokenizer(base)
    mark = _mark_of(tokenizer, base)
    counts: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}

    def texts() -> Iterator[str]:
        for document in documents:
            held_out = is_held_out(document)
            counts[held_out].update(WORD.findall(normalized(tokenizer, document.text)))
            if not held_out:
                yield document.text

    with sample_of(texts(), config.sample_characters, folder) as sample:
        ids = _replaced(base, tokenizer, config, sample, folder)
    opened = open_tokenizer(folder)
    if opened.get_vocab() != ids:
        raise UserError(
            f"tokenizer.replace: transformers opens the tokenizer of {base} with other entries than its new ones; "
            "leave it out"
        )
    size = int(config.replace or 0)
    fewer = "" if len(ids) >= size else f" (tokenizer.replace={size}: they hold no more)"
    tell(f"tokenizer: {len(ids):,} entries from {sample.characters:,} characters{fewer}")
    own = len(ids.keys() & tokenizer.get_vocab().keys())
    tell(f"tokenizer  {own:,} of {len(ids):,} entries ({own / len(ids):.0%}) are the base's own")
    tell_pieces(tokenizer, opened, mark, counts[True] or counts[False], bool(counts[True]), tell)


def read_replacement(folder: Path) -> Replacement | None:
    """How the tokenizer of a directory came from that of a base; None: it did not.

    Raises:
        UserError: the file is damaged.
    """
    if not (folder / FILE).is_file():
        return None
    found = read_whole(folder / FILE)
    moved = {int(old): int(new) for old, new in found["moved"].items()}
    return Replacement(found["base"], found["parts"], moved)


def digest_of_entries(entries: Mapping[str, int]) -> str:
    """What names a vocabulary, its ids included."""
    return digest(canonical(dict(entries)))


def _mark_of(tokenizer: Tokenizer, base: Path) -> Callable[[str], str]:
    """How a word is written that a blank precedes.

    Raises:
        UserError: no vocabulary can be trained for the tokenizer.
    """
    mark = mark_of(tokenizer, base, "replace")
    if tokenizer.pre_tokenizer is None or getattr(tokenizer.model, "end_of_word_suffix", None):
        raise UserError(
            f"tokenizer.replace: the tokenizer in {base} cuts texts into no words, or marks their ends; leave it out"
        )
    return mark


def _replaced(
    base: Path, tokenizer: Tokenizer, config: TokenizerConfig, sample: Sample, folder: Path
) -> dict[str, int]:
    """Train the vocabulary, and write the files; all entries with their ids.

    Raises:
        UserError: there are no texts, or N is too small for what stays.
    """
    content: Content = json.loads((base / "tokenizer.json").read_bytes())
    staying, size = _staying(tokenizer, content), int(config.replace or 0)
    trained = train_as(tokenizer, sample, config, staying)
    space = size - len(staying)
    if space < trained.letters:
        raise UserError(
            f"tokenizer.replace={size}: the base's special and added tokens and the letters of the documents are "
            f"{len(staying) + trained.letters} entries; at least that many"
        )
    ids, old = _numbered(trained.pieces[:space], staying), tokenizer.get_vocab()
    _write(base, folder, content, trained, old, ids)
    parts = [[old[piece]] if piece in old else _cut(tokenizer, old, piece) for piece in ids]
    moved = {old[token]: ids[token] for token in staying if ids[token] != old[token]}
    write_sealed(folder / FILE, {"base": digest_of_entries(old), "parts": parts, "moved": moved})
    return ids


def _staying(tokenizer: Tokenizer, content: Content) -> dict[str, int]:
    """Special and other added tokens, the unknown token, and bytes for unknown text, with their ids."""
    roles = roles_of(tokenizer)
    model, entries = content["model"], tokenizer.get_vocab()
    names = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    names |= {token["content"] for token in content.get("added_tokens", ())}
    names |= {
        str(tokenizer.id_to_token(index))
        for index in (*roles.controls, roles.mask, roles.separator, roles.unknown)
        if index is not None
    }
    names.add(str(model.get("unk_token")))
    if model.get("unk_id") is not None:
        names.add(model["vocab"][model["unk_id"]][0])
    if model.get("byte_fallback"):
        names |= {piece for piece in entries if BYTE.fullmatch(piece)}
    return {name: entries[name] for name in sorted(names & entries.keys())}


def _numbered(pieces: Sequence[str], staying: Mapping[str, int]) -> dict[str, int]:
    """All entries with their ids, from 0: tokens that stay have theirs, or the last ones if theirs are beyond."""
    size = len(pieces) + len(staying)
    ids = {token: index for token, index in staying.items() if index < size}
    beyond = sorted((token for token in staying if token not in ids), key=staying.__getitem__)
    taken = set(ids.values())
    free = [index for index in range(size) if index not in taken]
    ids |= dict(zip([*pieces, *beyond], free, strict=True))
    return dict(sorted(ids.items(), key=lambda entry: entry[1]))


def _write(
    base: Path,
    folder: Path,
    content: Content,
    trained: Trained,
    old: Mapping[str, int],
    ids: Mapping[str, int],
) -> None:
    """Write the base's files with the new vocabulary; those that list the old one for other programs are left out.

    Args:
        base: directory of the old tokenizer.
        folder: to write into.
        content: of the base's tokenizer.json.
        trained: the pieces with their merges or likelihoods.
        old: all entries of the base with their ids.
        ids: all new entries with theirs, in the order of ids.
    """
    for name in files_that_open(base):
        if name not in LISTS:
            shutil.copyfile(base / name, folder / name)
    new = {index: ids.get(piece, index) for piece, index in old.items()}
    content = with_renewed_ids(content, new) | {"model": _model(content["model"], trained, ids)}
    _write_json(folder / "tokenizer.json", content)
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    if decoder := settings.get("added_tokens_decoder"):
        settings["added_tokens_decoder"] = {str(new.get(int(at), at)): token for at, token in decoder.items()}
        _write_json(folder / "tokenizer_config.json", settings)
    if (file := folder / "added_tokens.json").is_file():
        _write_json(file, {token: ids[token] for token in json.loads(file.read_bytes())})


def _model(model: Content, trained: Trained, ids: Mapping[str, int]) -> Content:
    """The model of tokenizer.json with other entries."""
    if not isinstance(model["vocab"], list):
        changed = model | {"vocab": dict(ids)}
        if "merges" not in model:
            return changed
        kept = [pair for pair in trained.merges if {*pair, "".join(pair)} <= ids.keys()]
        listed = not model["merges"] or isinstance(model["merges"][0], list)
        return changed | {"merges": [list(pair) if listed else " ".join(pair) for pair in kept]}
    scores = {**dict(model["vocab"]), **trained.scores}
    lowest = min(trained.scores.values())  # of added tokens that were behind the vocabulary
    changed = model | {"vocab": [[piece, scores.get(piece, lowest)] for piece in ids]}
    if model.get("unk_id") is not None:
        changed["unk_id"] = ids[model["vocab"][model["unk_id"]][0]]
    return changed


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _cut(tokenizer: Tokenizer, old: Mapping[str, int], piece: str) -> list[int]:
    """The ids into which a tokenizer cuts a piece of another vocabulary; the unknown token's if it cannot."""
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or ""
    if type(tokenizer.model).__name__ == "WordPiece" and piece.startswith(prefix):
        found = _continued(old, prefix, piece.removeprefix(prefix))
    else:
        found = [token.id for token in tokenizer.model.tokenize(piece)]
    roles = roles_of(tokenizer)
    return found or [roles.mask if roles.unknown is None else roles.unknown]


def _continued(old: Mapping[str, int], prefix: str, rest: str) -> list[int]:
    """The longest pieces that fit, one after the other, as WordPiece cuts what continues a word; none if it cannot."""
    found: list[int] = []
    while rest:
        end = next((end for end in range(len(rest), 0, -1) if prefix + rest[:end] in old), 0)
        if not end:
            return []
        found.append(old[prefix + rest[:end]])
        rest = rest[end:]
    return found
