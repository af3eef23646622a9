"""Entries of a registry that share settings: each field is a setting of the entry, with the defaults of the entry."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bertinchamps.errors import UserError
from bertinchamps.registry import Registry, SharedSettings


@dataclass(frozen=True)
class Size(SharedSettings):
    width: int = 3
    depth: float = 1.0

    def problems(self) -> list[str]:
        return [] if self.width > 0 else [f"box.width={self.width}: above 0"]


LARGE = Size(width=9)
boxes: Registry[tuple[str, Size, int]] = Registry("box", "box")


@boxes.register("crate", check=lambda given: ["box.nails=0: some"] if given.get("nails") == 0 else [])
def crate(colour: str, size: Size = LARGE, nails: int = 4) -> tuple[str, Size, int]:
    return colour, size, nails


def test_fields_are_settings_with_the_defaults_of_the_entry() -> None:
    assert boxes.build("crate", colour="red") == ("red", Size(9, 1.0), 4)
    assert boxes.build("crate", colour="red", depth=2, nails=1) == ("red", Size(9, 2), 1)


def test_all_mistakes_are_told_in_the_users_names() -> None:
    assert boxes.problems("crate", {"width": "x", "dept": 1, "size": 2}, given=("colour",)) == [
        "box.dept: crate takes no such setting; did you mean 'depth'? (it takes: width, depth, nails)",
        "box.size: crate takes no such setting (it takes: width, depth, nails)",
        "box.width=x: must be a whole number",
    ]
    assert boxes.problems("crate", {"colour": "red", "width": 0, "nails": 0}) == [
        "box.width=0: above 0",
        "box.nails=0: some",
    ]
    with pytest.raises(UserError, match=r"box\.colour: crate needs it"):
        boxes.build("crate", width=0)
