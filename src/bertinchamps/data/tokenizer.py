"""A tokenizer's directory, opened, and what objectives need to know of a vocabulary.

A tokenizer of this project is read from its tokenizer.json alone. One of another program is opened by the class of
transformers that its tokenizer_config.json names, which also says which tokens are its mask, its separator and so on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from bertinchamps.data.continuations import continuations_of
from bertinchamps.data.normalizers import normalizers_by_name
from bertinchamps.errors import UserError
from bertinchamps.hub import OWN_CODE, brings_code
from bertinchamps.schemas import TokenizerConfig

PAD, UNK, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")  # what `AutoTokenizer` needs
# What tokenizers of other programs have besides, for slow classes and older versions of transformers.
OTHER_TOKENIZER_FILES = (
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes", "dict.txt",
    "sentencepiece.bpe.model", "spiece.model", "spm.model",
)  # fmt: skip
LARGEST_TRAINED = 2**16  # entries of a tokenizer that is trained here
LARGEST_VOCABULARY = 2**31  # of any tokenizer
ROLES = "roles"  # attribute of a tokenizer, whose class is of Rust and cannot be subclassed
OWN_TYPE = "bertinchamps"  # of model, whose tokenizers are generic
GENERIC_CLASSES = (
    None,
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)  # which add nothing to tokenizer.json


@dataclass(frozen=True)
class Roles:
    """Ids of the tokens that stand for no text; None: the tokenizer has no such token.

    Attributes:
        mask: hides a token.
        separator: closes a text.
        pad: fills up short texts.
        start: opens a text.
        unknown: stands for text without an entry.
        controls: all of them but `unknown`, which no document holds, whatever is written in it.
    """

    mask: int
    separator: int
    pad: int | None
    start: int | None
    unknown: int | None
    controls: tuple[int, ...]


@dataclass(frozen=True)
class Vocabulary:
    """What the objectives need to know of a tokenizer.

    Attributes:
        size: entries, without padding.
        special_ids: ids of the special tokens, never masked and never drawn at random.
        mask_id: id of the mask, such as [MASK].
        separator_id: id of the separator, such as [SEP], which closes each document.
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
        UserError: there is none, it is damaged, or has no mask or no separator.
    """
    if not (folder / "tokenizer.json").is_file():
        raise UserError(
            f"{folder / 'tokenizer.json'}: no such file; a tokenizer's directory holds tokenizer.json"
        )
    names = ("tokenizer.json", "tokenizer_config.json", "config.json")
    stats = [(folder / name).stat() if (folder / name).is_file() else None for name in names]
    return _opened(folder, tuple(stat and (stat.st_mtime_ns, stat.st_size) for stat in stats))


@lru_cache(maxsize=1)  # a large vocabulary takes seconds, and a preparation opens its tokenizer several times
def _opened(folder: Path, stamps: tuple[object, ...]) -> Tokenizer:
    """`open_tokenizer`, once for each state of the files."""
    del stamps
    file = folder / "tokenizer.json"
    if _class_in(folder) not in GENERIC_CLASSES:
        tokenizer, roles = _of_transformers(folder)
    else:
        tokenizer = _read(file)
        missing = [token for token in SPECIAL_TOKENS if tokenizer.token_to_id(token) is None]
        if not missing:
            roles = _own_roles(tokenizer)
        elif (folder / "tokenizer_config.json").is_file():
            tokenizer, roles = _of_transformers(folder)
        else:
            raise UserError(f"{file}: lacks the special tokens {', '.join(missing)}")
    if (largest := max(tokenizer.get_vocab().values())) >= LARGEST_VOCABULARY:
        raise UserError(f"{file}: ids up to {largest}; blocks hold at most {LARGEST_VOCABULARY} entries")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True  # not saved with the tokenizer
    try:
        tokenizer.encode("\N{UMBRELLA}")
    except Exception:
        raise UserError(
            f"{file}: cannot encode what it does not know; its unk_token must be an entry"
        ) from None
    setattr(tokenizer, ROLES, roles)
    return tokenizer


def files_that_open(folder: Path) -> list[str]:
    """Names of a directory's files by which transformers opens its tokenizer, on a machine without the model."""
    names = [*TOKENIZER_FILES, *OTHER_TOKENIZER_FILES]
    if _setting(folder, "tokenizer_config.json", "tokenizer_class") is None:
        names.append("config.json")  # whose type of model stands in for it
    return [name for name in names if (folder / name).is_file()]


def _read(file: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except (
        Exception
    ) as error:  # the library raises bare Exception, whose message may hold entries of the vocabulary
        place = re.search(r"line \d+ column \d+", str(error))
        where = f" ({place[0]})" if place else ""
        raise UserError(f"{file}: not a tokenizer that `tokenizers` can open{where}") from None


def _class_in(folder: Path) -> str | None:
    """The class that tokenizer_config.json names, or the type of model beside it, by which transformers finds one."""
    named = _setting(folder, "tokenizer_config.json", "tokenizer_class")
    kind = _setting(folder, "config.json", "model_type")
    return named if named is not None else None if kind == OWN_TYPE else kind


def _setting(folder: Path, name: str, key: str) -> str | None:
    """A setting in a JSON file; None: there is no such file, or no such setting in it."""
    try:
        found = json.loads((folder / name).read_bytes()).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return None if found is None else str(found)


def _of_transformers(folder: Path) -> tuple[Tokenizer, Roles]:
    """The tokenizer as its class in transformers has it, and the roles that this class knows."""
    from transformers import AutoTokenizer

    try:
        opened: Any = AutoTokenizer.from_pretrained(
            str(folder), split_special_tokens=True, trust_remote_code=False, local_files_only=True
        )
        tokenizer: Tokenizer = opened.backend_tokenizer
    except Exception as error:
        if brings_code(error):
            raise UserError(f"{folder}: {OWN_CODE}") from None
        raise UserError(
            f"{folder}: transformers opens no fast tokenizer there ({type(error).__name__})"
        ) from None
    separator = opened.eos_token_id if opened.sep_token_id is None else opened.sep_token_id
    start = opened.bos_token_id if opened.cls_token_id is None else opened.cls_token_id
    for role, key, found in (
        ("mask", "mask_token", opened.mask_token_id),
        ("separator", "sep_token", separator),
    ):
        if found is None:
            raise UserError(
                f"{folder}: its tokenizer has no {role} token ({key} in tokenizer_config.json), which masked "
                "language modelling needs"
            )
    unknown = opened.unk_token_id
    controls = sorted(set(opened.all_special_ids) - {unknown})
    return tokenizer, Roles(
        opened.mask_token_id, separator, opened.pad_token_id, start, unknown, tuple(controls)
    )


def _own_roles(tokenizer: Tokenizer) -> Roles:
    """The roles by the names that special tokens have here."""
    entries = tokenizer.get_vocab()
    pad, unknown, start, separator, mask = (entries[token] for token in SPECIAL_TOKENS)
    return Roles(mask, separator, pad, start, unknown, tuple(sorted((pad, start, separator, mask))))


def roles_of(tokenizer: Tokenizer) -> Roles:
    """The roles of tokens in a tokenizer: those that `open_tokenizer` found, or those of our own names."""
    found: Roles | None = getattr(tokenizer, ROLES, None)
    return found or _own_roles(tokenizer)


def vocabulary(tokenizer: Tokenizer) -> Vocabulary:
    """The facts of a tokenizer that objectives work from."""
    entries, roles = tokenizer.get_vocab(), roles_of(tokenizer)
    special = {index for index, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    special |= {*roles.controls, roles.mask, roles.separator}
    special |= set() if roles.unknown is None else {roles.unknown}
    named = {
        "pad_token_id": roles.pad,
        "cls_token_id": roles.start,
        "sep_token_id": roles.separator,
        "mask_token_id": roles.mask,
    }
    return Vocabulary(
        size=max(entries.values()) + 1,
        special_ids=tuple(sorted(special)),
        mask_id=roles.mask,
        separator_id=roles.separator,
        continuations=continuations_of(tokenizer, special),
        named_ids={name: index for name, index in named.items() if index is not None},
    )


def shaping_facts(folder: Path) -> dict[str, Any]:
    """What of a tokenizer shapes a corpus besides tokenizer.json: roles that our own names do not say.

    Raises:
        UserError: see `open_tokenizer`.
    """
    tokenizer = open_tokenizer(folder)
    roles = roles_of(tokenizer)
    named = all(tokenizer.token_to_id(token) is not None for token in SPECIAL_TOKENS)
    if named and roles == _own_roles(tokenizer):
        return {}
    return {"roles": {**asdict(roles), "controls": list(roles.controls)}}


def tokenizer_problems(config: TokenizerConfig) -> list[str]:
    """Mistakes in the tokenizer's settings, in the user's key names."""
    found = [
        f"tokenizer.{name}={number}: must be at least 1; null: {otherwise}"
        for name, number, otherwise in (
            ("extend", config.extend, "no new words"),
            ("replace", config.replace, "the vocabulary stays"),
        )
        if number is not None and number < 1
    ]
    if config.extend is not None and config.replace is not None:
        found.append(
            f"tokenizer.extend={config.extend}, tokenizer.replace={config.replace}: a new vocabulary has the words of "
            "the documents already; leave one of them out"
        )
    if config.path is None or config.extend is not None or config.replace is not None:
        found += [
            f"tokenizer.{name}={getattr(config, name)}: must be at least 1"
            for name in ("sample_characters", "min_frequency")
            if getattr(config, name) < 1
        ]
    return found + _problems_of(config)


def _problems_of(config: TokenizerConfig) -> list[str]:
    if config.path is not None:
        files = [Path(config.path).expanduser() / name for name in TOKENIZER_FILES]
        missing = [str(file) for file in files if not file.is_file()]
        return [f"tokenizer.path={config.path}: {' and '.join(missing)} must exist"] if missing else []
    problems = normalizers_by_name.problems(config.normalizer)
    if not len(SPECIAL_TOKENS) < config.vocab_size <= LARGEST_TRAINED:
        problems.append(f"tokenizer.vocab_size={config.vocab_size}: from 6 to {LARGEST_TRAINED}")
    return problems
