"""Statistics of a prepared corpus, as a table and as a page: counts and single characters, never a text."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bertinchamps.console import Tell
from bertinchamps.data.blocks import USUAL, Tokens, dtype_in
from bertinchamps.data.cleaning.cleaner import Documents, beginning
from bertinchamps.data.corpus import Corpus, check_all
from bertinchamps.data.tokenizer import open_tokenizer, roles_of
from bertinchamps.durable import write_file
from bertinchamps.errors import UserError
from bertinchamps.pages import render

TOKENS_AT_ONCE = 1 << 24
EDGES = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)  # of the histogram, in tokens
SAMPLE_CHARACTERS = 5_000_000  # of the documents, read again for what the normaliser does to characters
SHOWN_CHARACTERS = 20


@dataclass(frozen=True)
class Split:
    """One split's tokens.

    Attributes:
        documents: number of documents.
        tokens: number of tokens, separators included.
        unknown: number of unknown tokens.
        copies: documents with exactly the tokens of an earlier document.
        copied_tokens: tokens of the copies.
        median: median length of a document, in tokens.
        histogram: number of documents by length, in bins between EDGES; the last bin is open.
    """

    documents: int
    tokens: int
    unknown: int
    copies: int
    copied_tokens: int
    median: float
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Normalised:
    """What the normaliser does to the visible characters of a sample.

    Attributes:
        characters: number of visible characters.
        deleted: number of characters that the normaliser deletes.
        changed: number of characters that the normaliser replaces.
        commonest: the commonest of the deleted and replaced: character → (occurrences, replacement).
    """

    characters: int
    deleted: int
    changed: int
    commonest: Mapping[str, tuple[int, str]]


def split_statistics(file: Path, separator: int, unknown: int | None, dtype: np.dtype[Any] = USUAL) -> Split:
    """Statistics of a file of tokens.

    Args:
        file: tokens, each document closed by the separator.
        separator: its id.
        unknown: id of the unknown token; None: there is none.
        dtype: of the tokens.
    """
    lengths, unknowns, copies, copied = [], 0, 0, 0
    seen: set[bytes] = set()
    for document in _documents(file, separator, dtype):
        lengths.append(len(document) + 1)
        unknowns += 0 if unknown is None else int((document == unknown).sum())
        digest = hashlib.blake2b(document.tobytes(), digest_size=8).digest()
        if digest in seen:
            copies += 1
            copied += len(document) + 1
        seen.add(digest)
    counts, _ = np.histogram(lengths, bins=[*EDGES, np.inf])
    median = float(np.median(lengths)) if lengths else 0.0
    return Split(
        len(lengths), sum(lengths), unknowns, copies, copied, median, tuple(int(count) for count in counts)
    )


def _documents(file: Path, separator: int, dtype: np.dtype[Any]) -> Iterator[Tokens]:
    """The documents' tokens, read in parts of a bounded size."""
    rest: Tokens = np.empty(0, dtype=dtype)
    with file.open("rb") as stream:
        while (part := np.fromfile(stream, dtype=dtype, count=TOKENS_AT_ONCE)).size:
            tokens = np.concatenate([rest, part])
            ends = np.flatnonzero(tokens == separator)
            for start, end in pairwise([-1, *ends.tolist()]):
                yield tokens[start + 1 : end]
            rest = tokens[ends[-1] + 1 :] if len(ends) else tokens


def normalised(documents: Documents, tokenizer: Tokenizer) -> Normalised:
    """What the tokenizer's normaliser does to each character of some documents."""
    counts: Counter[str] = Counter()
    for document in beginning(documents, SAMPLE_CHARACTERS):
        counts.update(document.text)
    visible = {character: count for character, count in counts.items() if not character.isspace()}
    normalise = tokenizer.normalizer.normalize_str if tokenizer.normalizer else str
    became = {character: normalise(character) for character in visible}
    altered = {character: count for character, count in visible.items() if became[character] != character}
    deleted = sum(count for character, count in altered.items() if not became[character].strip())
    commonest = sorted(altered.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_CHARACTERS]
    return Normalised(
        sum(visible.values()),
        deleted,
        sum(altered.values()) - deleted,
        {character: (count, became[character]) for character, count in commonest},
    )


def statistics(corpus: Corpus, sample: Documents) -> tuple[dict[str, Split], Normalised]:
    """Statistics of both splits, and of a sample of the documents as they were read.

    Raises:
        UserError: a file of tokens is not as it was written.
    """
    check_all(corpus)
    tokenizer = open_tokenizer(corpus.tokenizer_folder)
    separator, unknown = corpus.vocabulary.separator_id, roles_of(tokenizer).unknown
    dtype = dtype_in(corpus.manifest)
    splits = {
        split: split_statistics(corpus.folder / f"{split}.bin", separator, unknown, dtype)
        for split in ("train", "held_out")
    }
    return splits, normalised(sample, tokenizer)


def report(corpus: Corpus, sample: Documents, file: Path, tell: Tell) -> None:
    """Print the statistics of a corpus as a table, and write them as a page.

    Args:
        corpus: any.
        sample: documents of its source, for the characters that the normaliser changes.
        file: the page; folders above it are made.
        tell: prints a line.

    Raises:
        UserError: the page cannot be written.
    """
    splits, characters = statistics(corpus, sample)
    tell("")
    for what, *figures in [("", "train", "held-out"), *table(splits, characters)]:
        tell(f"{what:<50}" + "".join(f"{figure:>24}" for figure in figures))
    title = f"The corpus {corpus.fingerprint}"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, page(splits, characters, corpus.manifest, title))
    except OSError as error:
        raise UserError(f"stats={file}: cannot be written ({error.strerror}); name another place") from error
    tell(f"statistics {file}")


def table(splits: Mapping[str, Split], characters: Normalised) -> list[tuple[str, ...]]:
    """Rows: the name of a statistic, then its value for each split."""
    total = characters.characters
    return [
        ("documents", *(f"{split.documents:,}" for split in splits.values())),
        ("tokens", *(f"{split.tokens:,}" for split in splits.values())),
        ("median tokens a document", *(f"{split.median:,.0f}" for split in splits.values())),
        ("unknown tokens", *(_share(split.unknown, split.tokens) for split in splits.values())),
        ("copies among documents", *(_share(split.copies, split.documents) for split in splits.values())),
        ("copies, tokens", *(_share(split.copied_tokens, split.tokens) for split in splits.values())),
        ("characters that the normaliser deletes (sample)", _share(characters.deleted, total)),
        ("characters that it changes (sample)", _share(characters.changed, total)),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.2%})" if whole else "0"


def page(splits: Mapping[str, Split], characters: Normalised, manifest: Mapping[str, Any], title: str) -> str:
    """All of it as an HTML page that needs nothing else."""
    cleaning: list[dict[str, Any]] = manifest["cleaning"]
    return render(
        "data/statistics.html.jinja",
        title=title,
        splits=[split.replace("_", "-") for split in splits],
        table=table(splits, characters),
        lengths=_lengths(list(splits.values())),
        cleaning=[
            (
                step["step"],
                f"{step['documents_in']:,} → {step['documents_out']:,}",
                f"{step['characters_in']:,} → {step['characters_out']:,}",
                f"{step['mended']:,}",
                ", ".join(f"{why}: {count:,}" for why, count in step["dropped"].items()),
            )
            for step in cleaning
        ],
        overlap=_overlap(manifest),
        characters=[
            (f"{character} (U+{ord(character):04X})", result or "deleted", f"{count:,}")
            for character, (count, result) in characters.commonest.items()
        ],
    )


def _overlap(manifest: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row for each set of test files that was looked for."""
    parts = (
        ("lines_found", "lines"),
        ("lines_whole", "lines"),
        ("lines_left", "lines"),
        ("ngrams_found", "ngrams"),
    )
    return [
        (
            of_set["name"],
            step["action"],
            *(f"{of_set[part]:,} of {of_set[whole]:,}" for part, whole in parts),
            f"{of_set['documents']:,}",
            f"{of_set['document_lines']:,}",
        )
        for step in manifest.get("overlap", ())
        for of_set in step["sets"]
    ]


def _lengths(splits: Sequence[Split]) -> list[tuple[str, list[tuple[str, str]]]]:
    """For each bin of the histogram its name, and for each split the width of a bar in em and the count."""
    most = max((max(split.histogram) for split in splits), default=0) or 1
    names = [f"{low:,} to {high - 1:,}" for low, high in pairwise(EDGES)] + [f"{EDGES[-1]:,} and more"]
    counts = zip(*(split.histogram for split in splits), strict=True)
    return [
        (name, [(f"{8 * count / most:.2f}", f"{count:,}") for count in of_bin])
        for name, of_bin in zip(names, counts, strict=True)
    ]
