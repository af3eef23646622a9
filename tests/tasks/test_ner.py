"""Documents through windows, a head that makes no mistake, and back: nothing that a file says is lost on the way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.metrics.strict_spans import strict_scores
from bertinchamps.tasks.formats import brat, conll
from bertinchamps.tasks.kinds import kinds
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.tagging.columns import tagged
from perfect import predictions, recognition, scored_by_itself
from real import real

WORDS = st.sampled_from(
    ["Dr", ".", "Martin", "aujourd'hui", "10,5", "mg/j", "d'", "!", "SpO2", "co-tri", "a\u200b", "…"]
)
SENTENCES = st.lists(
    st.tuples(WORDS, st.sampled_from(["B-A", "B-B", "O", "O", "I"])), min_size=1, max_size=30
)


def rows_of(sentences: list[list[tuple[str, str]]]) -> str:
    """A CoNLL file in IOB2."""
    lines = []
    for sentence in sentences:
        before = "O"
        for word, drawn in sentence:
            tag = drawn if drawn != "I" else "O" if before == "O" else f"I{before[1:]}"
            lines.append(f"{word}\t{tag}")
            before = tag
        lines.append("")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("head", ["flat", "nested"])
@settings(max_examples=40, deadline=None)
@given(sentences=st.lists(SENTENCES, min_size=1, max_size=4), longest=st.sampled_from([16, 64]))
def test_sentences_and_words_of_a_conll_file_are_the_files(
    head: str, sentences: list[list[tuple[str, str]]], longest: int
) -> None:
    content = rows_of([[("début", "B-A")], *sentences])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.conll")
        path.write_text(content, encoding="utf-8")
        documents = conll.read(path)
        task = recognition({"train": documents, "dev": documents}, head, longest)
        assert set(task.lost["dev"]) <= {"longer than the windows' overlap"}
        assert all(window.sentence == 0 for window in task.windows["dev"])
        predicted = predictions(task, "dev")
        kinds.build("ner").write_split(Path(folder), task, "dev", predicted)
        written = Path(folder, "dev.conll").read_text(encoding="utf-8")
    if not task.lost["dev"]:
        assert written == content
        scores = task.scores("dev", predicted)
        assert scores["strict"]["f1"] == scores["nested_exact"]["f1"] == scores["paper"]["accuracy"] == 1.0
    else:
        assert [line.split("\t")[0] for line in written.split("\n")] == [
            line.split("\t")[0] for line in content.split("\n")
        ]


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(SENTENCES, st.randoms(use_true_random=False)), min_size=1, max_size=3))
def test_strict_scores_of_columns_are_those_of_seqeval_on_the_files_words(pairs: Any) -> None:
    from seqeval.metrics import classification_report
    from seqeval.scheme import IOB2

    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for name in ("gold", "predicted"):
            drawn = [[(word, tag if name == "gold" else random.choice(["B-A", "O", "I"])) for word, tag in sentence]
                     for sentence, random in pairs]  # fmt: skip
            path = Path(folder, "a.conll")
            path.write_text(rows_of(drawn), encoding="utf-8")
            sides.append(conll.read(path))
    scores = strict_scores(*sides)
    tags = [[list(sentence.tags) for sentence in tagged(side)] for side in sides]
    if scores["support"] + scores["predicted"]:
        report = classification_report(*tags, mode="strict", scheme=IOB2, output_dict=True, zero_division=0)
        theirs = report["micro avg"]
        assert scores["support"] == theirs["support"]
        assert (scores["precision"], scores["recall"]) == pytest.approx(
            (theirs["precision"], theirs["recall"])
        )


def test_a_sentence_of_a_file_that_is_too_long_is_windowed() -> None:
    document = conll.document(["toux", "."] * 40, ["B-A", *["O"] * 79], "n", [""] * 80)
    task = recognition({"train": [document]}, "flat", 16)
    windows = task.windows["train"]
    assert len(windows) > 5
    owned = [word for window in windows for word in window.words[slice(*window.owned)]]
    assert tuple(owned) == document.words


@pytest.mark.parametrize("head", ["flat", "nested"])
@pytest.mark.parametrize("edge", [" ", "\n", "\u200b", "\u00ad", "\ufeff"])
def test_edges_that_cannot_be_seen_lose_no_entity(head: str, edge: str) -> None:
    text = f"Prise{edge}d'{edge}aspirine{edge} ce soir"
    start = text.index("aspirine")
    for wide in (0, 1):
        ann = f"T1\tCHEM {start - wide} {start + 8 + wide}\t\n"
        document = brat.read_document(text.encode(), ann.encode(), "note")
        task = recognition({"train": [document], "dev": [document]}, head)
        assert task.lost["train"] == {}
        predicted = predictions(task, "dev")
        assert [text[e.start : e.end] for e in predicted[0].entities] == ["aspirine"]
        assert task.scores("dev", predicted)["strict"]["f1"] == 1.0


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("corpus", "head", "lost", "reached"),
    [
        ("EMEA", "flat", {"inside a longer one": 405}, 0.883),
        (
            "EMEA",
            "nested",
            {"discontinuous": 42, "the same as another one": 3, "crosses another one": 1},
            0.989,
        ),
        (
            "MEDLINE",
            "flat",
            {
                "inside a longer one": 817,
                "reaches over the end of a sentence": 5,
                "does not begin and end with a word": 3,
            },
            0.839,
        ),
        (
            "MEDLINE",
            "nested",
            {
                "discontinuous": 23,
                "reaches over the end of a sentence": 5,
                "the same as another one": 4,
                "does not begin and end with a word": 4,
                "crosses another one": 1,
            },
            0.990,  # 12 begin with a blank: learnt without it, and compared with it
        ),
    ],
)
def test_what_a_head_can_reach_on_quaero(
    corpus: str, head: str, lost: dict[str, int], reached: float
) -> None:
    """As docs/finetuning.md says."""
    test = readers.build("quaero", corpus=corpus, path=str(real("quaero"))).read()["test"]
    task = recognition({"train": test}, head, 128)  # type: ignore[dict-item]
    assert task.lost["train"] == lost
    scores = task.scores("train", predictions(task, "train"))
    assert scores["nested_exact"]["f1"] == pytest.approx(reached, abs=5e-4)


@pytest.mark.real_data
def test_the_truth_scores_one_on_quaero() -> None:
    for corpus in ("EMEA", "MEDLINE"):
        splits = readers.build("quaero", corpus=corpus, path=str(real("quaero"))).read()
        assert scored_by_itself(splits["dev"]) == [1.0, 1.0, 1.0]  # type: ignore[arg-type]
