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


def entities_of(*tags: str, scheme: str = "auto") -> list[tuple[str, int, int]]:
    """Entities of words "a" as (label, first word, word after the last)."""
    document = conll.document(
        ["a"] * len(tags), tags, "name", [f"word {n}" for n in range(len(tags))], scheme
    )
    return [(entity.label, entity.start // 2, (entity.end + 1) // 2) for entity in document.entities]


def test_sentences_are_documents_with_the_words_of_the_file(tmp_path: Path) -> None:
    content = (
        "-DOCSTART- -X- O\n\n# text = Fracture du col\nFracture N B-DISO\ndu P I-DISO\ncol N I-DISO\n\n\n"
        "elle pronom O\r\nva verbe O\r\n\r\n# signe O\n"
    )
    assert read(tmp_path, content) == [
        AnnotatedText(
            "train-line-4", "Fracture du col", (Entity("DISO", ((0, 15),)),), ((0, 8), (9, 11), (12, 15))
        ),
        AnnotatedText("train-line-9", "elle va", (), ((0, 4), (5, 7))),
        AnnotatedText("train-line-12", "#", (), ((0, 1),)),
    ]


def test_a_no_break_space_is_part_of_its_word_and_so_is_any_blank_between_tabs(tmp_path: Path) -> None:
    for content in ("1\u00a0000 B-N\n", "1 000\tB-N\n"):
        (document,) = read(tmp_path, content)
        assert document.words == ((0, 5),)
        assert document.entities == (Entity("N", ((0, 5),)),)


@pytest.mark.parametrize(
    "comment",
    [
        "# text = lymphocyte B-cell",
        "# O",
        "#sent O",
        "# text = a\tb O",
        "# a\tO",
        "#global.columns = ID FORM O",
    ],
)
def test_comments_of_a_file_with_tabs_are_lines_without_one(tmp_path: Path, comment: str) -> None:
    found = read(tmp_path, f"{comment}\nle\tO\n{comment}\nfoie\tB-ANAT\n#\tO\n#toux\tB-DISO\n")
    assert [document.text for document in found] == ["le foie # #toux"]
    assert [entity.label for entity in found[0].entities] == ["ANAT", "DISO"]


@pytest.mark.parametrize(
    "comment", ["# text = groupe sanguin O", "# newpar", "#", "# sent_id = 3", "# B-cell"]
)
def test_comments_of_a_file_with_spaces_have_other_columns_or_no_tag(tmp_path: Path, comment: str) -> None:
    assert [document.text for document in read(tmp_path, f"{comment}\nle D O\n# N O\n")] == ["le #"]


@pytest.mark.parametrize(
    "mark",
    [
        "-DOCSTART- -X- O", "-DOCSTART-\tO", "-DOCSTART-", "# newdoc id = 3", "#begin document (a); part 000",
        "#end document", "###MEDLINE:95369245",
    ],
)  # fmt: skip
def test_a_mark_of_a_document_ends_a_sentence(tmp_path: Path, mark: str) -> None:
    found = read(tmp_path, f"{mark}\nla\tO\n{mark}\ntoux\tB-DISO\n")
    assert [document.text for document in found] == ["la", "toux"]


def test_lines_may_end_as_old_macs_ended_them(tmp_path: Path) -> None:
    (first, second) = read(tmp_path, "la O\rtoux B-DISO\r\rforte O\r")
    assert (first.text, second.name) == ("la toux", "train-line-4")
    assert "line 3: the column of tags" in refused(tmp_path, f"la O\rtoux B-DISO\rforte {SECRET}\r")
    assert [document.text for document in read(tmp_path, "la O\r\r\ntoux O\r\r\n")] == ["la toux"]


GERMEVAL = (
    "# http://source [2009-10-17]\n1\tFracture\tB-DISO\tO\n2\tdu\tI-DISO\tO\n3\tcol\tI-DISO\tB-ANAT\n\n"
    "1\tRien\tO\tO\n"
)
CONLLU = (
    "# sent_id = 1\n1\tFracture\tfracture\tNOUN\t_\tB-DISO\n2-3\tdu\t_\t_\t_\tO\n2\tde\tde\tADP\t_\tO\n"
    "3\tle\tle\tDET\t_\tO\n3.1\tsic\t_\t_\t_\tO\n4\tcol\tcol\tNOUN\t_\tB-ANAT\n"
)


@pytest.mark.parametrize(
    ("content", "line", "remedy"),
    [
        (GERMEVAL, 2, "task.word_column=2 task.label_column=3 (columns of tags here: 3, 4)"),
        (CONLLU, 2, "task.word_column=2 task.label_column=6 (columns of tags here: 6)"),
        ("0 a O\n1 b O\n\n2 c O\n", 1, "task.word_column=2 task.label_column=3 (columns of tags here: 3)"),
    ],
)
def test_numbers_of_words_are_not_words(tmp_path: Path, content: str, line: int, remedy: str) -> None:
    message = refused(tmp_path, content)
    assert f"train.conll: line {line}: the first column counts 1, 2, 3, …: it numbers the words" in message
    assert remedy in message


def test_a_column_that_never_changes_holds_no_words(tmp_path: Path) -> None:
    rows = "".join(f"bc/cctv/00 {n} mot{n} O\n" for n in range(12))
    assert "the first column is the same in every line" in refused(tmp_path, rows)
    assert len(read(tmp_path, "oui O\n" * 12)) == 1  # of two columns it is the words


def test_numbers_may_be_words_where_they_are_no_count(tmp_path: Path) -> None:
    for content in ("1 NUM O\n3 NUM O\n", "1 O\n2 O\n3 O\n", "1 NUM O\n2 NUM O\nmg N O\n"):
        assert read(tmp_path, content)


def test_columns_are_named_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(GERMEVAL, encoding="utf-8")
    for label, entities in ((3, [("DISO", 0, 15)]), (4, [("ANAT", 12, 15)])):
        first, second = conll.read(path, conll.Layout(2, label))
        assert (first.text, second.text) == ("Fracture du col", "Rien")
        assert [(entity.label, entity.start, entity.end) for entity in first.entities] == entities
    with pytest.raises(UserError, match=r"more than one column holds tags.*columns of tags here: 3, 4"):
        conll.read(path, conll.Layout(2))
    with pytest.raises(UserError, match=r"line 2: 4 columns, and column 9 is needed"):
        conll.read(path, conll.Layout(2, 9))
    path.write_text(CONLLU, encoding="utf-8")
    assert [document.text for document in conll.read(path, conll.Layout(2))] == ["Fracture de le col"]


def test_words_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    for content in (
        "la\ntoux\n\n# text = O\nrien\n",
        "la X\ntoux Y\n\nrien Z\n",
        "1\tla\t_\n2\ttoux\t_\n\n1\trien\tO\n",
    ):
        path.write_text(content, encoding="utf-8")
        found = conll.read(path, annotated=False)
        assert [document.text for document in found] == ["la toux", "rien"]
        assert found[0].words == ((0, 2), (3, 7))
        assert not any(document.entities for document in found)


def test_iob2_and_bioes_spell_the_same() -> None:
    iob2 = entities_of("B-A", "I-A", "B-A", "O", "B-B", "B-A")
    assert iob2 == sorted([("A", 0, 2), ("A", 2, 3), ("B", 4, 5), ("A", 5, 6)])
    assert entities_of("B-A", "E-A", "S-A", "O", "S-B", "S-A") == iob2
    assert entities_of("B-A-1", "I-A-1", "E-A-1") == [("A-1", 0, 3)]


BEGUN = [("O", "I-A"), ("B-A", "I-B"), ("I-A",), ("B-A", "O", "I-A")]


@pytest.mark.parametrize("tags", [*BEGUN, ("B-A", "E-A", "I-A"), ("S-A", "E-A")])
def test_a_tag_that_goes_on_with_nothing_is_refused_with_the_schemes_that_allow_it(
    tags: tuple[str, ...],
) -> None:
    with pytest.raises(UserError) as caught:
        entities_of(*tags)
    assert str(caught.value).startswith(
        f"word {len(tags) - 1}: the tag continues an entity that was not begun"
    )
    assert "task.scheme=iob1 or task.scheme=io" in str(caught.value)
    assert tags[-1] not in str(caught.value)


@pytest.mark.parametrize("tags", BEGUN)
def test_iob1_begins_with_i(tags: tuple[str, ...]) -> None:
    assert entities_of(*tags, scheme="iob1")[-1][:2] == (tags[-1][2:], len(tags) - 1)


def test_schemes_are_converted_by_their_rules() -> None:
    tags = ("I-A", "I-A", "B-A", "I-A", "I-B", "O", "I-B")
    assert entities_of(*tags, scheme="iob1") == sorted([("A", 0, 2), ("A", 2, 4), ("B", 4, 5), ("B", 6, 7)])
    one = sorted([("A", 0, 2), ("B", 2, 3), ("B", 4, 5)])
    assert entities_of("I-A", "I-A", "I-B", "O", "I-B", scheme="io") == one
    assert entities_of("A", "A", "B", "O", "B", scheme="io") == one
    for scheme, tag in (("io", "B-A"), ("iob1", "S-A"), ("iob2", "E-A"), ("iob1", "A"), ("auto", "A")):
        with pytest.raises(UserError, match=rf"word 0: .* no tag of task\.scheme={scheme}") as caught:
            entities_of(tag, scheme=scheme)
        assert "task.scheme=io" in str(caught.value)


@pytest.mark.parametrize("tag", ["B", "X-A", "B-", "b-A", SECRET])
def test_what_is_no_tag_is_named_by_line_and_not_quoted(tmp_path: Path, tag: str) -> None:
    assert "train.conll: line 2: the column of tags" in refused(tmp_path, f"a O\nb {tag}\n")


def test_a_line_of_one_column_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    assert "line 2: a word and its tag are needed" in refused(tmp_path, f"a O\n{SECRET}\n")
    assert "line 1: a word and its tag are needed" in refused(tmp_path, "\tO\n")
    assert "no sentence in it" in refused(tmp_path, "\n# comment\n")


def test_compressed(tmp_path: Path) -> None:
    path = tmp_path / "train.conll.gz"
    path.write_bytes(gzip.compress(b"a O\n"))
    assert conll.read(path) == [AnnotatedText("train-line-1", "a", (), ((0, 1),))]


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
