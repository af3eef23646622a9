"""Flat entities and entities found by offset: what does not overlap, and what overlaps a range."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from annotated import entities
from bertinchamps.contract import Entity
from bertinchamps.spans import EntitiesByOffset, flatten


def contiguous(label: str, start: int, end: int) -> Entity:
    return Entity(label, ((start, end),))


@settings(deadline=None)
@given(st.lists(entities(7), max_size=8))
def test_flat_entities_are_contiguous_apart_and_of_the_input(given_entities: list[Entity]) -> None:
    flat = flatten(given_entities)
    assert all(a.end <= b.start for a, b in pairwise(flat))
    ranges = {contiguous(entity.label, entity.start, entity.end) for entity in given_entities}
    assert set(flat) <= ranges
    assert flatten(flat) == flat


@settings(deadline=None)
@given(st.lists(entities(7), max_size=8))
def test_what_was_left_out_overlaps_a_kept_one_at_least_as_long(given_entities: list[Entity]) -> None:
    flat = flatten(given_entities)
    for entity in given_entities:
        length = entity.end - entity.start
        assert any(
            kept.start < entity.end and entity.start < kept.end and kept.end - kept.start >= length
            for kept in flat
        )


@settings(deadline=None)
@given(st.lists(entities(7), max_size=8).flatmap(lambda e: st.tuples(st.just(e), st.permutations(e))))
def test_the_order_of_entities_decides_nothing(orders: tuple[list[Entity], list[Entity]]) -> None:
    assert flatten(orders[0]) == flatten(orders[1])


def test_ties() -> None:
    crossing = [contiguous("DISO", 2, 6), contiguous("DISO", 0, 4)]
    assert flatten(crossing) == (contiguous("DISO", 0, 4),)
    same = [contiguous("PROC", 0, 4), contiguous("CHEM", 0, 4)]
    assert flatten(same) == (contiguous("CHEM", 0, 4),)


def test_entities_that_touch_are_both_kept() -> None:
    touching = (contiguous("DISO", 0, 2), contiguous("DISO", 2, 5), contiguous("DISO", 5, 6))
    assert flatten(touching) == flatten(touching[::-1]) == touching


def test_a_discontinuous_entity_becomes_its_covering_range() -> None:
    inside = contiguous("ANAT", 5, 8)
    assert flatten([Entity("DISO", ((0, 4), (10, 14))), inside]) == (contiguous("DISO", 0, 14),)


@given(st.lists(entities(30), max_size=20), st.integers(0, 30), st.integers(0, 30))
def test_those_touching_a_stretch_are_all_found(found: list[Entity], one: int, other: int) -> None:
    start, end = sorted((one, other))
    touching = [entity for entity in found if entity.start < end and entity.end > start]
    assert sorted(EntitiesByOffset(found).touching(start, end)) == sorted(touching)
