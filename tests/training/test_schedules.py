"""Curves over progress: the paper's formula, ends at zero, and the batch ramp."""

from __future__ import annotations

import pytest

from bertinchamps.schemas import BatchConfig
from bertinchamps.training.schedules import batch_problems, micro_batches, schedule_problems, schedules

PROGRESSES = [i / 1000 for i in range(1001)]


def test_slanted_triangular_is_the_papers_formula() -> None:
    curve = schedules.build("slanted_triangular")
    b = f = 0.25
    for p in PROGRESSES:
        assert curve(p) == pytest.approx(min(b + p * (1 - b) / (1 - f), (1 - p) / f))
    assert (curve(0), curve(0.75), curve(1)) == (0.25, 1.0, 0.0)


@pytest.mark.parametrize("name", schedules.names())
def test_every_schedule_is_a_multiplier(name: str) -> None:
    curve = schedules.build(name)
    assert all(0 <= curve(p) <= 1 for p in PROGRESSES)
    assert max(curve(p) for p in PROGRESSES) == pytest.approx(1.0)
    if name != "constant":
        assert curve(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("name", schedules.names())
@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_settings_at_their_limits_are_still_curves(name: str, extreme: float) -> None:
    import inspect

    settings = dict.fromkeys(inspect.signature(schedules._builders[name]).parameters, extreme)
    assert schedule_problems(name, settings) == []
    curve = schedules.build(name, **settings)
    assert all(-1e-9 <= curve(p) <= 1 + 1e-9 for p in PROGRESSES)


def test_the_ramp_averages_linearly_more_micro_batches() -> None:
    paper = BatchConfig(micro_batch=128, size=4096, ramp=1.0)
    counts = [micro_batches(paper, p) for p in PROGRESSES]
    assert counts[0] == 1
    assert counts[-1] == 32
    assert counts == sorted(counts)
    assert counts[500] == 16
    code = BatchConfig(micro_batch=128, size=8192, ramp=0.6)
    assert micro_batches(code, 0.3) == 32
    assert micro_batches(code, 0.6) == micro_batches(code, 1.0) == 64
    assert micro_batches(BatchConfig(micro_batch=64, size=256, ramp=0.0), 0.0) == 4


def test_mistakes_are_named_with_their_remedy() -> None:
    assert batch_problems(BatchConfig(micro_batch=128, size=0)) == ["batch.size=0: must be at least 1"]
    assert "multiple of batch.micro_batch=128" in batch_problems(BatchConfig(micro_batch=128, size=100))[0]
    assert len(batch_problems(BatchConfig(micro_batch=0, size=4, ramp=2.0))) == 2
    assert schedule_problems("one_cycle", {"peak": 3}) == ["schedule.peak=3: a share, from 0 to 1"]
    assert "it takes: base, falloff" in schedule_problems("slanted_triangular", {"start": 0.1})[0]
    assert "did you mean 'cosine'" in schedule_problems("cosin", {})[0]
