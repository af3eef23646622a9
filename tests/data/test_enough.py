"""Small corpora work as they are; what cannot work is refused before anything is built, with what would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_corpus import SECRET, built, failure, forbidden, sentences, settings, write

from bertinchamps.data import enough, planning
from bertinchamps.data.enough import with_enough
from bertinchamps.data.planning import build_source
from bertinchamps.data.preparation import prepare
from bertinchamps.schemas import PrepareConfig


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTINCHAMPS_CACHE", str(tmp_path / "cache"))


def notes(
    tmp_path: Path, texts: list[str], data: dict[str, Any] | None = None, **blocks: Any
) -> PrepareConfig:
    defaults = {"sequence_length": 128, "held_out_share": 0.01, "vocab_size": 32768}
    return settings(write(tmp_path / "notes.jsonl", texts), data, **{**defaults, **blocks})


def refused(config: PrepareConfig, monkeypatch: pytest.MonkeyPatch) -> str:
    """The message of what is refused before a tokenizer is trained."""
    with monkeypatch.context() as patch:
        patch.setattr(planning, "train_tokenizer", forbidden)
        return failure(lambda: built(config))


@pytest.mark.parametrize("documents", [30, 100, 300])
def test_a_small_corpus_works_with_the_settings_of_a_large_one(tmp_path: Path, documents: int) -> None:
    said: list[str] = []
    config = notes(tmp_path, sentences(documents))
    corpus = prepare(config, said.append)
    assert 1 <= len(corpus.held_out) <= 2
    assert len(corpus.train) > 0
    assert said[0].startswith("held out: a share of ")
    assert said[0].endswith("instead of 1.00%, which would leave a split without a block of 128 tokens")
    assert any("(tokenizer.vocab_size=32768: they hold no more)" in line for line in said)
    assert built(config).folder == corpus.folder


def test_a_share_that_is_enough_stays(tmp_path: Path) -> None:
    config, said = notes(tmp_path, sentences(200), sequence_length=16, held_out_share=0.1), list[str]()
    assert with_enough(config, build_source(config.data), said.append) is config
    assert said == []


def test_a_share_that_leaves_nothing_to_train_on_is_lowered(tmp_path: Path) -> None:
    corpus = built(notes(tmp_path, sentences(8), sequence_length=8, held_out_share=0.999))
    assert len(corpus.train) > 0
    assert len(corpus.held_out) > 0


def test_copies_stay_on_one_side_of_another_share(tmp_path: Path) -> None:
    corpus = built(notes(tmp_path, sentences(12) * 3, sequence_length=16))
    assert corpus.manifest["held_out"]["documents"] % 3 == 0


def test_what_the_cleaning_leaves_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = notes(tmp_path, sentences(10) * 30, sequence_length=128)
    config.cleaning = [{"name": "exact_duplicates"}]
    assert "10 documents of " in refused(config, monkeypatch)
    config.cleaning = [{"name": "length", "least": 10_000}]
    assert refused(config, monkeypatch).startswith(
        "there is no text to train on: the source has no document, or"
    )


def test_no_more_is_read_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = notes(tmp_path, sentences(3000), sequence_length=16, held_out_share=1e-9)
    source, read = build_source(config.data), [0]
    documents = source.documents

    def counted(after: Any = None) -> Any:
        for document in documents(after):
            read[0] += 1
            yield document

    monkeypatch.setattr(
        "bertinchamps.data.sources.files.FilesSource.documents", lambda _, after=None: counted(after)
    )
    monkeypatch.setattr(enough, "NUMBERS_KEPT", 20)
    monkeypatch.setattr(enough, "LOOKED_AT", 50_000)
    another = with_enough(config, source, lambda _: None).blocks.held_out_share
    assert 300 < read[0] < 1000
    monkeypatch.setattr(enough, "NUMBERS_KEPT", 10_000)
    assert with_enough(config, source, lambda _: None).blocks.held_out_share == another


def test_no_more_is_cleaned_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = notes(tmp_path, sentences(3000), sequence_length=16, held_out_share=0.1)
    config.cleaning = [{"name": "length", "least": 3}]
    seen, clean = list[int](), enough.Cleaner.clean
    monkeypatch.setattr(
        enough.Cleaner, "clean", lambda self, group: (seen.append(len(group)), clean(self, group))[1]
    )
    with_enough(config, build_source(config.data), lambda _: None)
    assert sum(seen) < 300


def test_words_are_never_more_than_tokens(tmp_path: Path) -> None:
    texts = [f"L'œdème n° {n} — d'où 500 µg, ≥ 38,5 °C… « {SECRET} » (oui) !" for n in range(50)]
    for normalizer in ("french", "paper"):
        config = notes(tmp_path, texts, sequence_length=16, normalizer=normalizer, min_frequency=1)
        flat = np.fromfile(built(config).folder / "train.bin", dtype=np.uint16)
        documents = int((flat == 3).sum())
        assert documents * (1 + len(enough.WORD.findall(texts[10]))) <= len(flat)


# ------------------------------------------------------------------------------------- what cannot work


def test_one_document_cannot_be_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(notes(tmp_path, [" ".join(sentences(100))]), monkeypatch)
    assert message.startswith(
        "the source gives 1 document of 1,500 words, less than a block of 128 tokens to train"
    )
    assert message.endswith(
        "split it (data.txt_documents=line makes a document of each line of a .txt), or give data.held_out_files"
    )


def test_copies_of_one_document_cannot_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(notes(tmp_path, sentences(1) * 50), monkeypatch)
    assert message.startswith("the source gives 50 documents of 750 words together, less than a block")
    assert message.endswith("to evaluate on; all of them have the same text; give more")


@pytest.mark.parametrize(("documents", "length"), [(2, 16), (4, 32), (10, 64)])
def test_shorter_blocks_are_proposed_and_then_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: int, length: int
) -> None:
    config = notes(tmp_path, sentences(documents))
    message = refused(config, monkeypatch)
    assert f"; give blocks.sequence_length={length}, or more text, or data.held_out_files" in message
    config.blocks.sequence_length = length
    assert len(built(config).train) > 0


def test_hardly_any_text_is_told_without_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(notes(tmp_path, ["Oui.", "Non."]), monkeypatch)
    assert message.startswith(
        "the source gives 2 documents of 2 words together, less than a block of 128 tokens"
    )
    assert message.endswith("to evaluate on; give more text, or data.held_out_files")


@pytest.mark.parametrize("short", ["files", "held_out_files"])
def test_little_text_beside_held_out_files_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    some, many = sentences(4), sentences(100, seed=1)
    own = write(tmp_path / "own.jsonl", some if short == "held_out_files" else many)
    config = notes(tmp_path, many if short == "held_out_files" else some, {"held_out_files": [str(own)]})
    message = refused(config, monkeypatch)
    what = (
        "data.held_out_files"
        if short == "held_out_files"
        else "the documents to train on, copies of held-out ones apart"
    )
    assert message.startswith(f"{what}: 4 documents of 60 words together, less than a block of 128 tokens; ")
    assert message.endswith("; give blocks.sequence_length=64, or more text")
    config.blocks.sequence_length = 64
    assert len(built(config).held_out) > 0
