"""CoNLL columns: words and tags to entities and back."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.errors import UserError
from bertinchamps.tasks.formats import conll

SECRET = "Confidentielle"


def read(tmp_path: Path, content: str) -> list[AnnotatedText]:
    path = tmp_path / "train.conll"
    path.write_bytes(content.encode())
    return conll.read(path)


def refused(tmp_path: Path, content: str) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def entities_of(*tags: str) -> list[tuple[str, int, int]]:
    """Entities of words "a" as (label, first word, word after the last)."""
    document = conll.document(["a"] * len(tags), tags, "name", [f"word {n}" for n in range(len(tags))])
    return [(entity.label, entity.start // 2, (entity.end + 1) // 2) for entity in document.entities]


def test_sentences_are_documents_with_one_space_between_words(tmp_path: Path) -> None:
    content = (
        "-DOCSTART- -X- O\n\n# text = Fracture du col\nFracture N B-DISO\ndu P I-DISO\ncol N I-DISO\n\n\n"
        "elle\tpronom personnel\tO\r\nva bien\tverbe\tO\r\n\r\n# O\n"
    )
    assert read(tmp_path, content) == [
        AnnotatedText("train-line-4", "Fracture du col", (Entity("DISO", ((0, 15),)),)),
        AnnotatedText("train-line-9", "elle va bien", ()),
        AnnotatedText("train-line-12", "#", ()),
    ]


def test_a_no_break_space_is_part_of_its_word(tmp_path: Path) -> None:
    assert read(tmp_path, "1\u00a0000 B-N\n")[0].text == "1\u00a0000"


def test_iob2_and_bioes_spell_the_same() -> None:
    iob2 = entities_of("B-A", "I-A", "B-A", "O", "B-B", "B-A")
    assert iob2 == sorted([("A", 0, 2), ("A", 2, 3), ("B", 4, 5), ("A", 5, 6)])
    assert entities_of("B-A", "E-A", "S-A", "O", "S-B", "S-A") == iob2
    assert entities_of("B-A-1", "I-A-1", "E-A-1") == [("A-1", 0, 3)]


@pytest.mark.parametrize(
    "tags",
    [("O", "I-A"), ("B-A", "I-B"), ("I-A",), ("B-A", "O", "I-A"), ("B-A", "E-A", "I-A"), ("S-A", "E-A")],
)
def test_a_tag_that_goes_on_with_nothing_is_refused_as_iob1_perhaps(tags: tuple[str, ...]) -> None:
    with pytest.raises(
        UserError, match=rf"word {len(tags) - 1}: {tags[-1]} goes on .* write IOB1 files as IOB2"
    ):
        entities_of(*tags)


@pytest.mark.parametrize("tag", ["B", "X-A", "B-", "b-A", SECRET])
def test_what_is_no_tag_is_named_by_line_and_not_quoted(tmp_path: Path, tag: str) -> None:
    assert "train.conll: line 2: the last column is no tag" in refused(tmp_path, f"a O\nb {tag}\n")


def test_a_line_of_one_column_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    assert "line 2: a word and its tag are needed" in refused(tmp_path, f"a O\n{SECRET}\n")
    assert "line 1: a word and its tag are needed" in refused(tmp_path, "\tO\n")
    assert "no sentence in it" in refused(tmp_path, "\n# comment\n")


def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "train.conll.gz"
    path.write_bytes(gzip.compress(b"a O\n"))
    assert conll.read(path) == [AnnotatedText("train-line-1", "a", ())]


WORD = st.text("abé'😀#,", min_size=1, max_size=5)
SENTENCE = st.lists(st.tuples(WORD, st.sampled_from(["B-A", "B-B", "O", "I"])), min_size=1, max_size=8)


@given(st.lists(SENTENCE, min_size=1, max_size=4))
def test_what_is_written_is_read_again(sentences: list[list[tuple[str, str]]]) -> None:
    written, expected = [], []
    for sentence in sentences:
        words, tags, ranges, position = [word for word, _ in sentence], list[str](), [], 0
        for word, tag in sentence:
            before = tags[-1] if tags else "O"
            tags.append("O" if tag == "I" and before == "O" else f"I{before[1:]}" if tag == "I" else tag)
            ranges.append((position, position + len(word)))
            position += len(word) + 1
        written.append(conll.TaggedText(" ".join(words), ranges, tags))
        expected.append(conll.document(words, tags, "", [""] * len(words))[1:])
    with tempfile.TemporaryDirectory() as folder:
        conll.write(Path(folder, "out.conll"), written)
        assert [document[1:] for document in conll.read(Path(folder, "out.conll"))] == expected
