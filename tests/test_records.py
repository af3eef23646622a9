"""Records of runs of earlier versions are read as records of this version."""

from __future__ import annotations

from bertinchamps.records import with_current_keys


def test_both_names_of_the_mfu_are_read() -> None:
    of_before = {"kind": "train", "share_of_peak_flops": 0.25, "loss": 3.0}
    current = {"kind": "train", "mfu": 0.25, "loss": 3.0}
    assert list(with_current_keys(of_before).items()) == list(current.items())
    assert with_current_keys(current) == current
