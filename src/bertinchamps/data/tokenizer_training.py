"""WordPiece tokenizers for French: trained on a bounded sample, saved as what `AutoTokenizer` opens."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from bertinchamps.data.continuations import CONTINUATION
from bertinchamps.data.normalizers import normalizers_by_name
from bertinchamps.data.tokenizer import CLS, MASK, PAD, SEP, SPECIAL_TOKENS, UNK
from bertinchamps.errors import UserError
from bertinchamps.schemas import TokenizerConfig

ALPHABET_LIMIT = 1000  # distinct characters: a web corpus has tens of thousands, and each would be an entry
TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 256, 1_000_000  # handed to the trainer together, which bounds memory
WORDS_REMEMBERED, WORDS_OF_A_TEXT = 500_000, 100


def train_tokenizer(
    config: TokenizerConfig, texts: Iterator[str], folder: Path, tell: Callable[[str], None]
) -> None:
    """Train a WordPiece tokenizer and save it into an existing directory: same texts, same bytes.

    Memory is bounded by the sample's distinct words, whatever the corpus holds. The texts are read
    once; the sample waits on disk, in a file without a name, since training goes over it twice.

    Args:
        config: normaliser, vocabulary size, sample size.
        texts: the sample; read until `sample_characters` are reached.
        folder: where tokenizer.json and tokenizer_config.json go.
        tell: shown progress.

    Raises:
        UserError: there are no texts.
    """
    read = [0]
    with tempfile.TemporaryFile("w+", encoding="utf-8", dir=folder) as spool:
        letters = _letters(config, _spooled(_in_pieces(texts, config.sample_characters, read), spool))
        if not read[0]:
            raise UserError("there is no text to train a tokenizer on: the source gave no training documents")
        if len({_letter(piece) for piece in letters}) > ALPHABET_LIMIT:
            spool.seek(0)
            frequent = _frequent_letters(config, map(json.loads, spool))
            letters = [piece for piece in letters if _letter(piece) in frequent]
        spool.seek(0)
        tokenizer = _trained(config, map(json.loads, spool), letters)
    entries = tokenizer.get_vocab_size()
    fewer = (
        ""
        if entries >= config.vocab_size
        else f" (tokenizer.vocab_size={config.vocab_size}: they hold no more)"
    )
    tell(f"tokenizer: {entries:,} entries from {read[0]:,} characters{fewer}")
    cls_id, sep_id = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(CLS, cls_id), (SEP, sep_id)],
    )
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    write_tokenizer_config(folder, config.normalizer)


def _untrained(config: TokenizerConfig) -> Tokenizer:
    tokenizer = Tokenizer(WordPiece(unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers_by_name.build(config.normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=CONTINUATION)
    return tokenizer


def _letters(config: TokenizerConfig, pieces: Iterator[list[str]]) -> list[str]:
    """The pieces of one character that the trainer begins from: those that start a word, then the others."""
    tokenizer = _untrained(config)
    nothing_merged = WordPieceTrainer(
        vocab_size=0, special_tokens=[], continuing_subword_prefix=CONTINUATION, show_progress=False
    )
    tokenizer.train_from_iterator(pieces, nothing_merged)
    return sorted(tokenizer.get_vocab(), key=lambda piece: (piece.startswith(CONTINUATION), piece))


def _letter(piece: str) -> str:
    return piece[-1]


def _frequent_letters(config: TokenizerConfig, pieces: Iterator[list[str]]) -> set[str]:
    """The most frequent characters, as many as the limit; the rarer ones of a web corpus become [UNK]."""
    normalizer = normalizers_by_name.build(config.normalizer)
    counts: Counter[str] = Counter()
    for texts in pieces:
        for text in texts:
            counts.update(normalizer.normalize_str(text))
    ordered = sorted(counts, key=lambda letter: (-counts[letter], letter))
    return set(ordered[:ALPHABET_LIMIT])


def _trained(config: TokenizerConfig, pieces: Iterator[list[str]], letters: list[str]) -> Tokenizer:
    """A tokenizer whose letters have the ids that follow the special tokens'.

    Left alone, the trainer numbers continuing letters in the order of a randomly seeded hash table and
    breaks ties between merges by these numbers, so that each run would learn another vocabulary. It
    takes an order only for special tokens: the letters go in as such, and come out as ordinary entries.
    """
    tokenizer = _untrained(config)
    trainer = WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=[*SPECIAL_TOKENS, *letters],
        initial_alphabet=sorted({_letter(piece) for piece in letters}),
        limit_alphabet=len({_letter(piece) for piece in letters}),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(pieces, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in SPECIAL_TOKENS]
    return Tokenizer.from_str(json.dumps(state))


def write_tokenizer_config(folder: Path, normalizer: str) -> None:
    """The file by which `AutoTokenizer` knows how to open tokenizer.json."""
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 512,
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "bertinchamps_normalizer": normalizer,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")


def _in_pieces(texts: Iterable[str], characters: int, read: list[int]) -> Iterator[list[str]]:
    """Lists of texts (the trainer works through each in parallel), up to so many characters in all."""
    piece: list[str] = []
    held = 0
    for text in texts:
        piece.append(text)
        held += len(text)
        read[0] += len(text)
        enough = read[0] >= characters
        if enough or len(piece) == TEXTS_AT_ONCE or held >= CHARACTERS_AT_ONCE:
            yield piece
            piece, held = [], 0
        if enough:
            return
    if piece:
        yield piece


def _spooled(pieces: Iterator[list[str]], spool: TextIO) -> Iterator[list[str]]:
    """Write each list to the spool as a line of JSON, and give its words that are new: they hold its letters."""
    known: set[str] = set()
    for piece in pieces:
        spool.write(json.dumps(piece, ensure_ascii=False) + "\n")
        words = {word for text in piece for word in text.split(" ")} - known
        if len(known) > WORDS_REMEMBERED:
            known.clear()
        known |= words
        listed = list(words)
        yield [
            " ".join(listed[start : start + WORDS_OF_A_TEXT])
            for start in range(0, len(listed), WORDS_OF_A_TEXT)
        ]
