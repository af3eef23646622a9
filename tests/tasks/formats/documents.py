"""Documents as hypothesis makes them: any text, with nested and discontinuous entities."""

from __future__ import annotations

from hypothesis import strategies as st

from bertinchamps.contract import AnnotatedText, Entity

LABELS = st.sampled_from(["DISO", "ANAT", "Élément_2"])
TEXTS = st.one_of(
    st.text(min_size=1, max_size=40),
    st.text("ab é\n\r\t\x85\u2028\ufeff😀", min_size=1, max_size=40),  # what offsets and lines stumble over
)


@st.composite
def entities(draw: st.DrawFn, length: int) -> Entity:
    """An entity of one or two fragments that do not touch."""
    offsets = draw(st.sets(st.integers(0, length), min_size=2, max_size=4).map(sorted))
    label = draw(LABELS)
    if len(offsets) < 4:
        return Entity(label, ((offsets[0], offsets[-1]),))
    return Entity(label, ((offsets[0], offsets[1]), (offsets[2], offsets[3])))


@st.composite
def documents(draw: st.DrawFn, name: str = "note") -> AnnotatedText:
    """A document with up to four entities."""
    text = draw(TEXTS)
    found = draw(st.lists(entities(len(text)), max_size=4))
    return AnnotatedText(name, text, tuple(sorted(found)))
