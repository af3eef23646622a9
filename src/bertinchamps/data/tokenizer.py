"""A tokenizer's directory, opened, and what objectives need to know of a vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from bertinchamps.data.normalizers import normalizers_by_name
from bertinchamps.errors import UserError
from bertinchamps.schemas import TokenizerConfig

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")  # what `AutoTokenizer` needs
LARGEST_VOCABULARY = 2**16  # blocks on disk are uint16
CONTINUATION = "##"


@dataclass(frozen=True)
class Vocabulary:
    """What the objectives need to know of a tokenizer.

    Attributes:
        size: entries, without padding.
        special_ids: ids of the special tokens, never masked and never drawn at random.
        mask_id: id of [MASK].
        separator_id: id of [SEP], which closes each document.
        continuations: ids of pieces that continue a word; none where the tokenizer does not mark them.
        named_ids: the ids under the names that Hugging Face configs give them.
    """

    size: int
    special_ids: tuple[int, ...]
    mask_id: int
    separator_id: int
    continuations: tuple[int, ...]
    named_ids: Mapping[str, int]


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a directory, set to neither cut nor pad, and to take the names of special tokens for text.

    The file is not changed: whoever opens it otherwise still gets the mask for "[MASK]".

    Raises:
        UserError: there is none, it is damaged, or lacks the special tokens.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise UserError(f"{file}: no such file; a tokenizer's directory holds tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except (
        Exception
    ) as error:  # the library raises bare Exception, whose message may hold entries of the vocabulary
        place = re.search(r"line \d+ column \d+", str(error))
        where = f" ({place[0]})" if place else ""
        raise UserError(f"{file}: not a tokenizer that `tokenizers` can open{where}") from None
    missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise UserError(f"{file}: lacks the special tokens {', '.join(missing)}")
    if (largest := max(tokenizer.get_vocab().values())) >= LARGEST_VOCABULARY:
        raise UserError(f"{file}: ids up to {largest}; blocks hold at most {LARGEST_VOCABULARY} entries")
    try:
        tokenizer.encode("\N{UMBRELLA}")
    except Exception:
        raise UserError(
            f"{file}: cannot encode what it does not know; its unk_token must be an entry"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # not saved with the tokenizer
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """The facts of a tokenizer that objectives work from."""
    entries = tokenizer.get_vocab()
    special = sorted(index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special)
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or CONTINUATION
    return Vocabulary(
        size=max(entries.values()) + 1,
        special_ids=tuple(special),
        mask_id=entries[MASK],
        separator_id=entries[SEP],
        continuations=tuple(sorted(i for token, i in entries.items() if token.startswith(prefix))),
        named_ids={
            "pad_token_id": entries[PAD],
            "cls_token_id": entries[CLS],
            "sep_token_id": entries[SEP],
            "mask_token_id": entries[MASK],
        },
    )


def tokenizer_problems(config: TokenizerConfig) -> list[str]:
    """Mistakes in the tokenizer's settings, in the user's key names."""
    if config.path is not None:
        files = [Path(config.path).expanduser() / name for name in TOKENIZER_FILES]
        missing = [str(file) for file in files if not file.is_file()]
        return [f"tokenizer.path={config.path}: {' and '.join(missing)} must exist"] if missing else []
    problems = normalizers_by_name.problems(config.normalizer)
    if not len(SPECIAL_TOKENS) < config.vocab_size <= LARGEST_VOCABULARY:
        problems.append(f"tokenizer.vocab_size={config.vocab_size}: from 6 to {LARGEST_VOCABULARY}")
    for name in ("sample_characters", "min_frequency"):
        if getattr(config, name) < 1:
            problems.append(f"tokenizer.{name}={getattr(config, name)}: must be at least 1")
    return problems
