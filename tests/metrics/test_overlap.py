"""Entities found by place are those that a look at all of them finds."""

from __future__ import annotations

from annotated import entities
from hypothesis import given
from hypothesis import strategies as st

from bertinchamps.contract import Entity
from bertinchamps.metrics.overlap import ByPlace


@given(st.lists(entities(30), max_size=20), st.integers(0, 30), st.integers(0, 30))
def test_those_touching_a_stretch_are_all_found(found: list[Entity], one: int, other: int) -> None:
    start, end = sorted((one, other))
    touching = [entity for entity in found if entity.start < end and entity.end > start]
    assert sorted(ByPlace(found).touching(start, end)) == sorted(touching)
