"""Statistics of a prepared corpus: right on counts that can be made by hand, and without a text in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from bertinchamps.contract import Document
from bertinchamps.data import statistics
from bertinchamps.data.tokenizer import open_tokenizer
from support import command

SEPARATOR, UNKNOWN = 3, 1


def tokens(path: Path, *documents: list[int]) -> Path:
    flat = [token for document in documents for token in (*document, SEPARATOR)]
    np.array(flat, dtype=np.uint16).tofile(path)
    return path


@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
def test_counts_do_not_depend_on_how_much_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(statistics, "TOKENS_AT_ONCE", at_once)
    file = tokens(tmp_path / "train.bin", [7, 8, UNKNOWN], [7, 8], [], [7, 8], list(range(10, 30)), [])
    split = statistics.split_statistics(file, SEPARATOR, UNKNOWN)
    assert (split.documents, split.tokens, split.unknown) == (6, 33, 1)
    assert (split.copies, split.copied_tokens) == (2, 3 + 1)
    assert split.histogram[:3] == (5, 1, 0)
    assert split.median == 3.0
    assert statistics.split_statistics(tokens(tmp_path / "none.bin"), SEPARATOR, UNKNOWN).documents == 0


def prepared(tmp_path: Path, *words: str) -> Any:
    texts = ["Madame Confidentielle a de la fièvre, 38 °C…"] * 3 + [
        f"Note {n} sur l'œdème." for n in range(97)
    ]
    rows = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (tmp_path / "notes.jsonl").write_text(rows, encoding="utf-8")
    return command(
        "bertinchamps.prepare", "data=files", "data.files=[notes.jsonl]", "tokenizer.vocab_size=150",
        "blocks.sequence_length=8", "blocks.held_out_share=0.1", f"blocks.cache_dir={tmp_path / 'cache'}", *words,
        cwd=tmp_path,
    )  # fmt: skip


def test_the_command_prints_a_table_and_writes_a_page_without_texts(tmp_path: Path) -> None:
    result = prepared(tmp_path, "stats=corpus.html", "cleaning=[{name: exact_duplicates}]", "tokenizer=paper")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "corpus.html").read_text(encoding="utf-8")
    assert "copies among documents" in result.stderr
    assert "exact duplicate: 2" in page
    assert "œ (U+0153)" in page
    assert "deleted" in page
    for text in (page, result.stderr):
        assert "Confidentielle" not in text
    again = prepared(tmp_path, "stats=corpus.html")
    assert again.returncode == 2
    assert "stats=corpus.html: is there already" in again.stderr


def test_a_tokenizer_without_a_normaliser_changes_nothing() -> None:
    found = statistics.normalised(iter([Document("Été 38 °C", "a")]), Tokenizer(WordLevel(unk_token="[UNK]")))
    assert (found.characters, found.deleted, found.changed) == (7, 0, 0)


def test_what_a_normaliser_does_to_characters(tmp_path: Path) -> None:
    assert prepared(tmp_path, "tokenizer=paper").returncode == 0
    (folder,) = (tmp_path / "cache" / "tokenizers").iterdir()
    documents = iter([Document("Été 38 °C", "a"), Document("°", "b")])
    found = statistics.normalised(documents, open_tokenizer(folder))
    assert found.characters == 8
    assert found.deleted == 2
    assert found.changed == 3  # É, é and C
    assert found.commonest["°"] == (2, "")
    assert found.commonest["É"] == (1, "e")
