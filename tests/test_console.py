"""Words for people."""

from __future__ import annotations

from bertinchamps.console import counted


def test_one_thing_and_several() -> None:
    assert [counted(number, "text") for number in (0, 1, 1200)] == ["0 texts", "1 text", "1,200 texts"]
