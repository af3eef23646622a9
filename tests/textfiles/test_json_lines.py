"""Objects of lines of JSON."""

from __future__ import annotations

import time

from bertinchamps.textfiles import json_lines


def test_a_key_that_occurs_twice_is_found_in_no_more_than_one_pass() -> None:
    names = [f"key {number}" for number in range(200_000)]
    line = "{" + ", ".join(f'"{name}": 0' for name in [*names, names[1]]) + "}"
    began = time.process_time()
    found = json_lines.parsed(line, "a.jsonl: line 1", json_lines._with_places)
    assert isinstance(found, json_lines._Doubled)
    assert found.places == (2, 200_001)
    assert time.process_time() - began < 20  # each key looked for among all before it: over a minute
