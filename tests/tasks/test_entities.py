"""Spans → targets → spans is the identity for what a representation can hold; the rest is counted."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertinchamps.contract import Entity
from bertinchamps.model.encoders import open_tokenizer
from bertinchamps.spans import EntitiesByOffset, flatten
from bertinchamps.tasks.tagging.flat import Flat, _transitions, _viterbi
from bertinchamps.tasks.tagging.nested import Nested
from bertinchamps.tasks.tagging.representations import IGNORED, Found, word_tags
from bertinchamps.tasks.tagging.windows import SubwordTokenizer, Window, windows_of
from tiny_encoders import make_encoder

LABELS = ("ANAT", "CHEM", "DISO")
LETTERS = st.characters(codec="utf-8") | st.sampled_from("aeé' .\n\u0301œ")


@functools.cache
def subwords(longest: int) -> SubwordTokenizer:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return SubwordTokenizer(open_tokenizer(str(make_encoder("bert", Path(folder)))), longest)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, list[Entity]]:
    """A text and entities anywhere in it: nested, crossing, discontinuous, between letters."""
    text = draw(st.text(LETTERS, min_size=1, max_size=80))
    entities = []
    for _ in range(draw(st.integers(0, 6))):
        cuts = sorted(draw(st.sets(st.integers(0, len(text)), min_size=2, max_size=4)))
        cuts = cuts[: len(cuts) // 2 * 2]
        fragments = tuple(zip(cuts[::2], cuts[1::2], strict=True))
        entities.append(Entity(draw(st.sampled_from(LABELS)), fragments))
    return text, sorted(set(entities))


@st.composite
def documents_of_words(draw: st.DrawFn) -> tuple[str, list[Entity]]:
    """A sentence of words, with contiguous entities of whole words."""
    count = draw(st.integers(1, 12))
    words = draw(st.lists(st.sampled_from(["toux", "fièvre", "cœur", "du"]), min_size=count, max_size=count))
    bounds = list(itertools.accumulate((len(word) + 1 for word in words), initial=0))
    spans = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1), st.sampled_from(LABELS))
    entities = {
        Entity(label, ((bounds[min(a, b)], bounds[max(a, b) + 1] - 1),))
        for a, b, label in draw(st.lists(spans, max_size=6))
    }
    return " ".join(words), sorted(entities)


def spans(found: list[Found]) -> list[Entity]:
    """Without confidences, which are numbers from 0 to 1."""
    assert all(0 <= confidence <= 1 for _, confidence in found)
    return [entity for entity, _ in found]


def perfect(representation: Flat | Nested, entities: list[Entity], windows: list[Window]) -> list[Any]:
    """Answers of a model that is always right."""
    answers = []
    for window in windows:
        targets = representation.targets(entities, window)
        padded = representation.padded([targets], len(window.words))[0].numpy()
        if isinstance(representation, Flat):
            classes = np.arange(len(representation.classes))
            logits = np.where(classes == padded[:, None], 1.0, 0.0)
        else:
            logits = padded * 2.0 - 1.0
        answers.append(representation.reduced_logits(logits, window))
    return answers


@pytest.mark.parametrize("build", [Flat, Nested])
@settings(max_examples=150, deadline=None)
@given(document=documents(), longest=st.sampled_from([12, 64]))
def test_what_is_kept_comes_back_and_what_is_not_is_counted(
    build: Any, document: tuple[str, list[Entity]], longest: int
) -> None:
    text, entities = document
    representation = build(LABELS)
    windows = list(windows_of([text], subwords(longest)))
    kept = representation.kept(entities, windows)
    found = spans(representation.entities(windows, perfect(representation, kept.entities, windows)))
    assert sorted(found) == sorted(kept.entities)
    assert len(kept.entities) + kept.lost.total() == len(entities)


@settings(max_examples=150, deadline=None)
@given(document=documents_of_words())
def test_flat_holds_the_flattened_entities_of_words(document: tuple[str, list[Entity]]) -> None:
    text, entities = document
    representation, windows = Flat(LABELS), list(windows_of([text], subwords(64)))
    found = spans(representation.entities(windows, perfect(representation, list(flatten(entities)), windows)))
    assert sorted(found) == sorted(flatten(entities))


@settings(max_examples=150, deadline=None)
@given(document=documents_of_words())
def test_nested_holds_all_that_do_not_cross(document: tuple[str, list[Entity]]) -> None:
    text, entities = document
    kept: list[Entity] = []
    for entity in entities:
        if not any(a.start < b.start < a.end < b.end for o in kept for a, b in ((o, entity), (entity, o))):
            kept.append(entity)
    representation, windows = Nested(LABELS), list(windows_of([text], subwords(64)))
    found = spans(representation.entities(windows, perfect(representation, kept, windows)))
    assert found == sorted(kept)


def test_an_entity_longer_than_a_window_is_flat_but_not_nested() -> None:
    text = " ".join(["toux"] * 40)
    whole = [Entity("DISO", ((0, len(text)),))]
    windows = list(windows_of([text], subwords(12)))
    assert len(windows) > 1
    assert Flat(LABELS).kept(whole, windows).entities == whole
    assert Nested(LABELS).kept(whole, windows).lost == {"longer than the windows' overlap": 1}


def test_same_span_two_types_and_same_type_inside_itself() -> None:
    text = "cancer du foie droit"
    entities = sorted(
        [
            Entity("DISO", ((0, 20),)),
            Entity("DISO", ((0, 6),)),
            Entity("ANAT", ((10, 20),)),
            Entity("CHEM", ((10, 20),)),
        ]
    )
    windows = list(windows_of([text], subwords(64)))
    representation = Nested(LABELS)
    assert spans(representation.entities(windows, perfect(representation, entities, windows))) == entities


def test_tags_that_cannot_follow_one_another_are_not_read() -> None:
    representation, windows = Flat(LABELS), list(windows_of(["toux du foie"], subwords(64)))
    tags = {tag: index for index, tag in enumerate(representation.classes)}
    logits = np.zeros((3, len(tags)))
    logits[0, tags["B-DISO"]] = 2
    logits[1, tags["I-ANAT"]] = 3  # forbidden here: neither after B-DISO nor after O
    logits[1, tags["I-DISO"]] = 2.5
    logits[2, tags["O"]] = 1
    assert spans(representation.entities(windows, [logits])) == [Entity("DISO", ((0, 7),))]


def test_a_flat_entity_is_as_sure_as_its_least_sure_word() -> None:
    representation, windows = Flat(LABELS), list(windows_of(["toux du foie"], subwords(64)))
    logits = np.random.default_rng(0).normal(size=(3, len(representation.classes))).astype(np.float32)
    for word, tag in enumerate(("B-DISO", "I-DISO", "O")):
        logits[word, representation.classes.index(tag)] += 5 - word
    shares = torch.from_numpy(logits).softmax(1)
    expected = min(shares[0].max(), shares[1].max())
    ((entity, confidence),) = representation.entities(windows, [logits])
    assert entity == Entity("DISO", ((0, 7),))
    assert confidence == pytest.approx(float(expected), abs=1e-6)


def test_a_nested_entity_is_as_sure_as_its_score_says() -> None:
    representation, windows = Nested(LABELS), list(windows_of(["toux du foie"], subwords(64)))
    logits = np.full((3, 3, 3), -1.0)
    logits[0, 2, 2], logits[2, 2, 0], logits[0, 0, 2] = 0.1, 2.0, 700.0
    found = representation.entities(windows, [representation.reduced_logits(logits, windows[0])])
    assert spans(found) == [Entity("ANAT", ((8, 12),)), Entity("DISO", ((0, 4),)), Entity("DISO", ((0, 12),))]
    expected = torch.tensor([2.0, 700.0, 0.1], dtype=torch.float64).sigmoid().tolist()
    assert [confidence for _, confidence in found] == pytest.approx(expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([0.1, 3.0]))
def test_decoded_tags_have_the_highest_sum_of_those_that_are_allowed(
    seed: int, words: int, preference: float
) -> None:
    classes = Flat(("ANAT", "DISO")).classes
    scores = np.random.default_rng(seed).normal(size=(words, len(classes))).astype(np.float32)
    scores[:, 0] += preference  # with much of it, each word's best tag is often an allowed one
    allowed = _transitions(classes)
    best = max(
        (
            sum(scores[place, tag] for place, tag in enumerate(tags))
            for tags in itertools.product(range(len(classes)), repeat=words)
            if not any(allowed[before, tag] for before, tag in itertools.pairwise((0, *tags)))
        ),
    )
    chosen = _viterbi(scores, allowed)
    assert not any(allowed[before, tag] for before, tag in itertools.pairwise((0, *chosen)))
    assert sum(scores[place, tag] for place, tag in enumerate(chosen)) == pytest.approx(best, abs=1e-4)


def test_word_tags() -> None:
    words = ((0, 4), (5, 7), (8, 12), (13, 14))
    entities = [Entity("DISO", ((0, 7),)), Entity("ANAT", ((8, 12),))]
    assert word_tags(words, EntitiesByOffset(entities)) == ["B-DISO", "I-DISO", "B-ANAT", "O"]


@pytest.mark.parametrize("build", [Flat, Nested])
def test_padding_and_words_of_other_windows_do_not_change_the_loss(build: Any) -> None:
    representation = build(LABELS)
    (window,) = windows_of(["toux du foie"], subwords(64))
    targets = representation.targets([Entity("ANAT", ((8, 12),))], window)
    torch.manual_seed(0)
    shape = (1, 6, 6, 3) if build is Nested else (1, 6, 7)
    wide = torch.randn(shape)
    narrow = wide[:, :3, :3] if build is Nested else wide[:, :3]
    words = torch.tensor([3])
    losses = [
        float(representation.loss(logits, representation.padded([targets], size), words))
        for logits, size in ((wide, 6), (narrow, 3))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert representation.count(targets) == 3
    if build is Flat:
        assert (representation.padded([targets], 6)[0, 3:] == IGNORED).all()
