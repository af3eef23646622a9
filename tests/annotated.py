"""Documents for the tests of scores: drawn at random, or read from folders in brat's format."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity

LABELS = ("ANAT", "CHEM", "DISO")


@st.composite
def entities(draw: st.DrawFn, length: int, fragments: int = 3) -> Entity:
    """An entity of a text of this length, often inside, across or beside another one."""
    number = draw(st.integers(1, min(fragments, (length + 1) // 2)))
    cuts = draw(
        st.lists(st.integers(0, length), min_size=2 * number, max_size=2 * number, unique=True).map(sorted)
    )
    return Entity(draw(st.sampled_from(LABELS)), tuple(zip(cuts[::2], cuts[1::2], strict=True)))


@st.composite
def documents(draw: st.DrawFn, name: str = "a") -> tuple[AnnotatedText, AnnotatedText]:
    """A gold document and a predicted one, of one text of any characters, that agree in part."""
    text = draw(st.text(min_size=1, max_size=16))
    gold = draw(st.lists(entities(len(text)), max_size=6))
    kept = draw(st.lists(st.sampled_from(gold), max_size=6)) if gold else []
    predicted = kept + draw(st.lists(entities(len(text)), max_size=4))
    return AnnotatedText(name, text, tuple(sorted(gold))), AnnotatedText(name, text, tuple(sorted(predicted)))


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[AnnotatedText], list[AnnotatedText]]:
    """Gold documents and predicted ones, in the same order."""
    pairs = [draw(documents(name)) for name in "abc"[: draw(st.integers(1, 3))]]
    return [gold for gold, _ in pairs], [predicted for _, predicted in pairs]


def brat(folder: Path) -> list[AnnotatedText]:
    """Every .ann file of a folder, with the .txt beside it if there is one."""
    read = []
    for file in sorted(folder.glob("*.ann")):
        text = file.with_suffix(".txt")
        found = []
        for line in file.read_text(encoding="utf-8").split("\n"):
            if line.startswith("T"):
                label, _, spans = line.split("\t")[1].partition(" ")
                pairs = (span.split() for span in spans.split(";"))
                found.append(Entity(label, tuple((int(start), int(end)) for start, end in pairs)))
        content = text.read_text(encoding="utf-8") if text.exists() else ""
        read.append(AnnotatedText(file.stem, content, tuple(sorted(found))))
    return read
