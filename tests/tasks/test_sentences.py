"""Sentences: those of spaCy's sentencizer for whatever is written, in a time that is linear in the text."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import spacy
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.pipeline import Sentencizer

from bertinchamps.spans import is_unseen
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.tagging.sentences import ROW, STRETCH, SYMBOLS, sentences
from real import real

CHARACTERS = "_!?=(\"*☐,.…-'/|~#•💊"
WORDS = st.sampled_from(
    [
        "Nom",
        "fin.",
        "Suite",
        "12",
        ":",
        "(a)",
        "aujourd'hui",
        "anti-inflammatoire",
        "Boulogne-sur-Mer.",
        "Dr",
        "\n",
        "oui !",
    ]
)
ROWS = st.builds(str.__mul__, st.sampled_from(CHARACTERS), st.integers(1, 5 * ROW))


def by_spacy(text: str) -> list[tuple[int, int]]:
    """Of spaCy's pipeline as it comes, with its compounds."""
    return [(sentence.start_char, sentence.end_char) for sentence in plain_spacy()(text).sents]


@cache
def plain_spacy() -> Callable[[str], Any]:
    french = spacy.blank("fr")
    french.max_length = 10**9
    sentencizer = Sentencizer()
    return lambda text: sentencizer(french.make_doc(text))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS | ROWS, st.sampled_from(["", " "])), min_size=1, max_size=8))
def test_sentences_around_long_rows_of_a_symbol_are_those_of_spacy(parts: list[tuple[str, str]]) -> None:
    text = "".join(part + blank for part, blank in parts)
    rows = [row.group() for row in SYMBOLS.finditer(text)]
    # of rows of different symbols side by side, spaCy could make anything
    if len(rows) < 2 and all(sum(count > 1 for count in Counter(row).values()) == 1 for row in rows):
        assert sentences(text) == by_spacy(text)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            str.__mul__,
            st.sampled_from(["l'", "a.", "é", "=-", "_", "☐\u200b", "x!", " "]),
            st.integers(1, 900),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_visible_character_is_in_one_sentence(parts: list[str]) -> None:
    text = "".join(parts)
    found = sentences(text)
    assert all(start < end for start, end in found)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(found))
    covered = {place for start, end in found for place in range(start, end)}
    assert all(place in covered for place, letter in enumerate(text) if not is_unseen(letter))


@pytest.mark.parametrize("row", [*CHARACTERS, "=-", "l'", "()", "a.", "☐\u200d"])
def test_no_row_of_symbols_takes_long(row: str) -> None:
    """A minute before, for 20,000 underscores."""
    sentences("Une toux.")  # spaCy is loaded
    text = f"Nom : {row * (40_000 // len(row))} Suite."
    began = time.process_time()
    assert sentences(text)[-1][1] == len(text)
    assert time.process_time() - began < 5


def test_a_long_word_is_parted_between_letters() -> None:
    text = "www." + "ab" * STRETCH + ".fr. Fin"
    assert sentences(text) == by_spacy(text)


@pytest.mark.real_data
def test_sentences_of_real_texts_are_those_of_spacy() -> None:
    quaero = readers.build("quaero", corpus="MEDLINE", path=str(real("quaero"))).read()
    texts = [document.text for documents in quaero.values() for document in documents]
    with (real("rtbf_topic") / "topic_1_train.jsonl.zst").open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        texts += [json.loads(line)["text"] for line in itertools.islice(lines, 400)]
    assert all(sentences(text) == by_spacy(text) for text in texts)


def test_compounds_are_split_for_sentences_and_left_whole_for_other_users_of_spacy() -> None:
    text = "Un anti-inflammatoire à Boulogne-sur-Mer."
    code = (
        "from bertinchamps.tasks.tagging.french_tokenizer import french_tokenizer; import spacy;"
        "found = [[str(word) for word in french(TEXT)] for french in (french_tokenizer(), spacy.blank('fr'))];"
        "print(found == [['Un', 'anti', '-', 'inflammatoire', 'à', 'Boulogne', '-', 'sur', '-', 'Mer', '.'],"
        " ['Un', 'anti-inflammatoire', 'à', 'Boulogne-sur-Mer', '.']] or found)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("TEXT", repr(text))], capture_output=True, text=True
    )
    assert ran.stdout.strip() == "True", ran.stdout + ran.stderr
